from __future__ import annotations

import numpy as np
import pytest

from ancestral.engine.values import dtype_of, from_bytes, itemsize, to_bytes


@pytest.mark.parametrize(
    ("levels", "dtype", "size"),
    [
        (2, "uint8", 1),
        (256, "uint8", 1),
        (257, "int16", 2),
        (2**15, "int16", 2),
        (2**16, "int32", 4),
        (None, "float32", 4),
    ],
)
def test_the_narrowest_type_that_holds_every_level(
    levels: int | None, dtype: str, size: int
) -> None:
    assert dtype_of(levels) == dtype
    assert itemsize(dtype) == size
    ends = np.array([[0, (levels or 2) - 1]])
    payload = to_bytes(ends, dtype)
    assert len(payload) == 2 * size
    np.testing.assert_array_equal(from_bytes(payload, dtype, 2), ends)


def test_little_endian_row_by_row() -> None:
    assert to_bytes(np.array([[1, 2], [3, 258]]), "int16") == b"\1\0\2\0\3\0\2\1"
