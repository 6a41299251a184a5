from __future__ import annotations

import io
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ancestral.media import MediaError, encode_npy
from ancestral.media.npy import read_npy


def saved(array: np.ndarray, **options: bool) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def header(text: str, payload: bytes = b"", version: int = 1) -> bytes:
    body = text.encode()
    size = len(body).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + size + body + payload


@pytest.mark.parametrize("dtype", ["u1", "<i8", ">i4", "<f4", ">f8", "?", "<f2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_reads_what_numpy_writes(dtype: str, order: str) -> None:
    array = np.asarray(np.arange(24).reshape(2, 3, 4) % 7, dtype=dtype, order=order)
    back = read_npy(saved(array))
    assert (back == array).all()
    assert back.shape == array.shape
    assert back.dtype.isnative


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1,)])
def test_odd_shapes(shape: tuple[int, ...]) -> None:
    assert read_npy(saved(np.zeros(shape))).shape == shape


@pytest.mark.parametrize("version", [1, 2, 3])
def test_versions(version: int) -> None:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.arange(3), version=(version, 0))
    assert read_npy(buffer.getvalue()).tolist() == [0, 1, 2]


def test_written_files_are_read_by_numpy() -> None:
    array = np.arange(6).reshape(2, 3)
    assert (np.load(io.BytesIO(encode_npy(array)), allow_pickle=False) == array).all()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"PK\x03\x04", "not an NPY"),
        (b"\x93NUMPY\x01", "not an NPY"),
        (b"\x93NUMPY\x09\x00" + b"\x00" * 20, "header is broken"),
        (b"\x93NUMPY\x01\x00\xff\xff{}", "header is broken"),
        (header("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}"), "not a plain"),
        (header("{'descr': [('a','<i4')], 'fortran_order': False, 'shape': (1,)}"), "not a plain"),
        (header("{'descr': '<i4', 'fortran_order': False, 'shape': (-1,)}"), "not a shape"),
        (header("{'descr': '<i4', 'fortran_order': False, 'shape': [3]}"), "not a shape"),
        (header("{'descr': '<i4', 'fortran_order': 'no', 'shape': ()}"), "broken"),
        (header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000)}"), "needs"),
        (header("{'descr': '<i4', 'fortran_order': False, 'shape': (1,)}", b"12345"), "needs 4"),
        (header("__import__('os').getcwd()"), "not a dictionary"),
        (header("[1, 2"), "not a dictionary"),
        (header("(" * 5000), "not a dictionary"),
    ],
)
def test_lying_headers(body: bytes, message: str) -> None:
    with pytest.raises(MediaError, match=message):
        read_npy(body)


def test_pickles_are_refused() -> None:
    with pytest.raises(MediaError, match="not a plain"):
        read_npy(saved(np.array([{}], dtype=object), allow_pickle=True))
    with pytest.raises(MediaError, match="not an NPY"):
        read_npy(pickle.dumps(np.arange(3)))


@given(st.binary(max_size=200))
def test_garbage_is_a_media_error(tail: bytes) -> None:
    with pytest.raises(MediaError):
        read_npy(b"\x93NUMPY" + tail[:1] + b"\x00" + tail[1:])
