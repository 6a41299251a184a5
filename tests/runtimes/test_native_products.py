"""Products of packed weights in every form: exact sums in one order, the same bits in each."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numba import njit

from ancestral.models.rounding import Precision, rounded
from ancestral.runtimes.native.code import products
from ancestral.runtimes.native.code.blocks import BF16, FULL, INT8, NARROW, product
from ancestral.runtimes.native.code.kernels import kernels
from ancestral.runtimes.native.code.lanes import LANES
from ancestral.runtimes.native.storage import kept, zeros

SIZES = [(1, 3), (3, 50), (4, 32), (16, 5), (17, 20), (48, 33), (130, 64), (300, 7)]  # out, in


@njit
def _product(like, kernel, form, segs, rows, weights, size, panels, beside, more, y, stride):  # type: ignore[no-untyped-def]
    product(like, kernel, form, segs, 2, rows, weights, size, 0, panels, beside, more, stride, y,
            stride)  # fmt: skip


def multiplied(
    packed: products.Packed, x: np.ndarray, bias: np.ndarray, more: np.ndarray | None
) -> np.ndarray:
    """bias + more + x Wᵀ, x [rows, in] in two segments."""
    rows, size = x.shape
    wide = packed.panels * LANES
    held, first = kept(x, np.float32), size // 2
    out = zeros((rows, wide), np.float32)
    added = zeros((rows, wide), np.float32)
    if more is not None:
        added[:, : more.shape[1]] = more
    beside = kept(packed.record(bias), np.float32)
    weights = kept(packed.weights, packed.weights.dtype)
    base, stride = held.ctypes.data, held.strides[0]
    segs = np.array([[base, stride, first], [base + 4 * first, stride, size - first]])
    form = FULL if packed.form == NARROW else packed.form
    kernel = kernels(np.dtype(np.float32), form).address
    size = packed.weights.shape[1] if packed.form == NARROW else size
    _product(
        np.float32(0), kernel, packed.form, segs.ctypes.data, rows, weights.ctypes.data, size,
        packed.parts, beside.ctypes.data, 0 if more is None else added.ctypes.data,
        out.ctypes.data, out.strides[0],
    )  # fmt: skip
    return out[:, : bias.size].copy()


@pytest.mark.parametrize("precision", ["float32", "bf16", "int8"])
@pytest.mark.parametrize(("outputs", "inputs"), SIZES)
def test_every_form_gives_the_bits_of_float32(
    precision: Precision, outputs: int, inputs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(outputs)
    matrix = random.standard_normal((outputs, inputs)).astype(np.float32)
    matrix *= np.logspace(-3, 3, outputs, dtype=np.float32)[:, None]
    matrix = rounded(torch.from_numpy(matrix), precision).numpy()
    bias, x, more = (
        random.standard_normal(shape).astype(np.float32)
        for shape in ((outputs,), (11, inputs), (11, outputs))
    )
    sizes = (inputs // 2, inputs - inputs // 2)
    packed = products.pack(matrix, sizes)
    if outputs <= 4:
        assert packed.form == NARROW
    else:
        assert packed.form == {"float32": FULL, "bf16": BF16, "int8": INT8}[precision]
        assert packed.weights.dtype.itemsize == {"float32": 4, "bf16": 4, "int8": 1}[precision]
    found = multiplied(packed, x, bias, more)
    wanted = bias + more + x.astype(np.float64) @ matrix.T.astype(np.float64)
    scale = np.abs(x).astype(np.float64) @ np.abs(matrix.T) + np.abs(bias) + np.abs(more)
    assert np.abs((found - wanted) / scale).max() < 1e-6
    for rows in (slice(0, 1), slice(3, 5), slice(2, 6)):  # neighbours change nothing
        assert (multiplied(packed, x[rows], bias, more[rows]) == found[rows]).all()
    monkeypatch.setattr(products, "_smallest", lambda given: (FULL, given, None))
    plain = products.pack(matrix, sizes)
    assert (multiplied(plain, x, bias, more) == found).all()
    assert (multiplied(plain, x, bias, None) == multiplied(packed, x, bias, None)).all()


def test_double_precision_is_kept_whole() -> None:
    assert products.pack(np.ones((5, 4)), [4]).form == FULL
