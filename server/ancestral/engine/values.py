"""Values on their way to a client: little-endian, the narrowest type that holds every level."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ancestral.broker import Entry

DTYPES = {"uint8": "<u1", "int16": "<i2", "int32": "<i4", "float32": "<f4"}


def dtype_of(levels: int | None) -> str:
    """'uint8', 'int16' or 'int32' for codes 0..levels-1; 'float32' for real values."""
    if levels is None:
        return "float32"
    if levels <= 2**8:
        return "uint8"
    return "int16" if levels <= 2**15 else "int32"


def itemsize(dtype: str) -> int:
    """Bytes of one value."""
    return np.dtype(DTYPES[dtype]).itemsize


def to_bytes(values: npt.NDArray[Any], dtype: str) -> bytes:
    """Values [sites, dims] row by row."""
    return values.astype(DTYPES[dtype]).tobytes()


def from_bytes(payload: bytes, dtype: str, dims: int) -> npt.NDArray[Any]:
    """The inverse of `to_bytes`: [sites, dims], int64 or float64."""
    wide = np.float64 if dtype == "float32" else np.int64
    return np.frombuffer(payload, dtype=DTYPES[dtype]).reshape(-1, dims).astype(wide)


def drawn_values(entry: Entry, dtype: str, dims: int) -> npt.NDArray[Any]:
    """An output's values [sites, dims] as they were drawn, real ones too."""
    if entry.exact:
        return np.frombuffer(entry.exact, dtype="<f8").reshape(-1, dims)
    return from_bytes(entry.payload, dtype, dims)
