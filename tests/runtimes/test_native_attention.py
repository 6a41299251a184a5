"""One pass over keys and values, and norms, beside scipy's softmax and torch's norms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numba import njit
from scipy import special

from ancestral.runtimes.native.code.blocks import FLASH, NORM
from ancestral.runtimes.native.code.kernels import kernels
from ancestral.runtimes.native.code.lanes import call_kernel
from ancestral.runtimes.native.storage import Array, kept, padded, zeros


@njit
def _call(kernel, which, a, b, c, d, e, f, g, h, i):  # type: ignore[no-untyped-def]
    call_kernel(kernel, which, a, b, c, d, e, f, g, h, i, 0)


def attended(
    q: Array,
    keys: Array,
    values: Array,
    *,
    scale: float,
    count: int,
    mask: Array | None = None,
    places: Array | None = None,
    listed: Array | None = None,
) -> Array:
    """softmax(scale · q kᵀ + mask) v of the first `count` places: [value width]."""
    dtype = q.dtype
    held = [zeros((len(m) + 16, padded(m.shape[1])), dtype) for m in (keys, values)]
    for store, rows in zip(held, (keys, values), strict=True):
        store[: len(rows), : rows.shape[1]] = rows
        store[len(rows) :] = np.nan  # what is not a slot's own is not read
    if places is None:  # whole blocks of keys are read
        held[0][len(keys) :] = 0
    query = zeros((padded(q.size),), dtype)
    query[: q.size] = q
    out, factor = zeros((padded(values.shape[1]),), dtype), kept(np.array([scale]), dtype)
    row = None if mask is None else zeros((padded(mask.size),), dtype)
    if mask is not None and row is not None:
        row[: mask.size] = mask
    indices = [None if i is None else kept(np.pad(i, (0, 16)), np.int64) for i in (places, listed)]
    record = np.array([held[0].strides[0], q.size, held[1].strides[0], values.shape[1],
                       factor.ctypes.data])  # fmt: skip
    arrays = (record, query, *held)
    where, among = (0 if i is None else i.ctypes.data for i in indices)
    _call(
        kernels(dtype).address, FLASH, *(a.ctypes.data for a in arrays), count, where,
        0 if row is None else row.ctypes.data, among, out.ctypes.data,
    )  # fmt: skip
    return out[: values.shape[1]]


def wanted(q: Array, keys: Array, values: Array, scale: float, mask: Array | float = 0.0) -> Array:
    scores = scale * keys.astype(np.float64) @ q.astype(np.float64) + mask
    found: Array = special.softmax(scores) @ values.astype(np.float64)
    return found


TOLERANCE: dict[type, float] = {np.float32: 2e-6, np.float64: 1e-14}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("count", [1, 5, 16, 17, 47, 160])
@pytest.mark.parametrize(("width", "value_width"), [(64, 64), (10, 33), (48, 8)])
def test_one_pass_is_softmax_and_sum(dtype: type, count: int, width: int, value_width: int) -> None:
    random = np.random.default_rng(count)
    q, keys, values = (
        random.standard_normal(shape).astype(dtype)
        for shape in ((width,), (count, width), (count, value_width))
    )
    keys[::3] *= 4  # the largest so far rises again and again
    found = attended(q, keys, values, scale=0.3, count=count)
    np.testing.assert_allclose(found, wanted(q, keys, values, 0.3), atol=4 * TOLERANCE[dtype])
    more = attended(q, np.concatenate([keys, keys]), np.concatenate([values, values]), scale=0.3,
                    count=count)  # fmt: skip
    np.testing.assert_array_equal(more, found)  # what lies behind its keys is not the query's


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_masks_and_lists_of_places(dtype: type) -> None:
    random = np.random.default_rng(0)
    q, keys, values, mask = (
        random.standard_normal(shape).astype(dtype) for shape in ((24,), (90, 24), (90, 40), (90,))
    )
    mask[:37] = -math.inf  # two blocks and more that nobody reads
    found = attended(q, keys, values, scale=1, mask=mask, count=90)
    np.testing.assert_allclose(found, wanted(q, keys, values, 1, mask), atol=4 * TOLERANCE[dtype])
    chosen, among = random.permutation(90)[:41], random.permutation(90)[:41]
    found = attended(q, keys, values, scale=1, mask=mask, places=chosen, listed=among, count=41)
    expected = wanted(q, keys[chosen], values[chosen], 1, mask[among])
    np.testing.assert_allclose(found, expected, atol=4 * TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 7, 16, 100, 512])
@pytest.mark.parametrize("keep_mean", [False, True])
def test_norms_are_torchs(dtype: type, size: int, keep_mean: bool) -> None:
    random = np.random.default_rng(size)
    x, scale, bias = (kept(random.standard_normal(padded(size)) + 3, dtype) for _ in range(3))
    out, eps = zeros((padded(size),), dtype), kept(np.array([1e-5]), dtype)
    addresses = (scale.ctypes.data, bias.ctypes.data, eps.ctypes.data)
    _call(
        kernels(np.dtype(dtype)).address, NORM, x.ctypes.data, out.ctypes.data, size, *addresses,
        int(keep_mean), 0, 0,
    )  # fmt: skip
    wide, factor, more = (torch.from_numpy(a[:size]).double() for a in (x, scale, bias))
    expected = (
        F.rms_norm(wide, (size,), factor, 1e-5) + more
        if keep_mean
        else F.layer_norm(wide, (size,), factor, more, 1e-5)
    )
    np.testing.assert_allclose(out[:size], expected.numpy(), atol=20 * TOLERANCE[dtype])
