"""NPY arrays in and out (NEP 1 format), read without pickle and without trusting the header."""

from __future__ import annotations

import ast
import io
import math
import re
from typing import Any

import numpy as np
import numpy.typing as npt

from ancestral.media.errors import MediaError, shape_text

MAGIC = b"\x93NUMPY"
_LONGEST_HEADER = 10_000  # bytes; a plain array's header has under 200
_PLAIN = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248])")


def read_npy(body: bytes) -> npt.NDArray[np.generic]:
    """The array that the file holds: bool, integer or float of any shape.

    Raises MediaError for anything else: objects, records, a header that promises more or fewer
    bytes than follow it. Nothing is allocated before the sizes agree.
    """
    if body[:6] != MAGIC or len(body) < 10:
        raise MediaError("not an NPY file: it does not start with \\x93NUMPY")
    width = 2 if body[6] == 1 else 4
    start = 8 + width
    length = int.from_bytes(body[8:start], "little")
    if body[6] not in (1, 2, 3) or length > _LONGEST_HEADER or len(body) < start + length:
        raise MediaError("NPY: the header is broken or longer than the file")
    shape, dtype, fortran = _header(body[start : start + length])
    payload = body[start + length :]
    needed = math.prod(shape) * dtype.itemsize
    if needed != len(payload):
        raise MediaError(
            f"NPY: shape {shape_text(shape)} of {dtype} needs {needed} bytes, "
            f"but {len(payload)} follow the header"
        )
    flat = np.frombuffer(payload, dtype=dtype)
    array = flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)
    return array.astype(dtype.newbyteorder("="), order="C")


def _header(text: bytes) -> tuple[tuple[int, ...], np.dtype[Any], bool]:
    try:
        header = ast.literal_eval(text.decode("utf-8").strip())
        descr, fortran, shape = header["descr"], header["fortran_order"], header["shape"]
    except (ValueError, SyntaxError, KeyError, TypeError, MemoryError, RecursionError) as error:
        raise MediaError("NPY: the header is not a dictionary of descr, order and shape") from error
    if not isinstance(descr, str) or not _PLAIN.fullmatch(descr):
        raise MediaError(f"NPY: dtype {descr!r} is not a plain bool, integer or float")
    if not isinstance(shape, tuple) or not all(
        type(size) is int and 0 <= size < 2**48 for size in shape
    ):
        raise MediaError(f"NPY: {shape!r} is not a shape")
    if len(shape) > 8 or not isinstance(fortran, bool):
        raise MediaError("NPY: the header is broken")
    return shape, np.dtype(descr), fortran


def encode_npy(array: npt.ArrayLike) -> bytes:
    """The array as the bytes of an NPY file."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array), allow_pickle=False)
    return buffer.getvalue()
