"""Products of a few outputs: a row of weights for each, in place of a panel that is mostly padding.

An output is the sum of `LANES` interleaved sums over the inputs in ascending order, folded by
halves, plus the bias, plus the addend: the same whatever is computed beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import cgutils

from ancestral.runtimes.native.code import lanes
from ancestral.runtimes.native.code.lanes import LANES, Body

MOST = 4  # outputs that are few
SEGMENT = 3  # as in `products`


def pack_narrow(matrix: npt.NDArray[Any], sizes: Sequence[int]) -> npt.NDArray[Any]:
    """[out, in] with every segment's inputs padded to whole vectors; `sizes` are the segments'."""
    out, parts, first = matrix.shape[0], [], 0
    for size in sizes:
        part = np.zeros((out, -(-size // LANES) * LANES), dtype=matrix.dtype)
        part[:, :size] = matrix[:, first : first + size]
        parts.append(part)
        first += size
    return np.concatenate(parts, 1)


def narrow(outputs: int) -> Body:
    """y[first, o] = Σ over segments and elements of x·w + bias[o] + addend[first, o].

    Arguments as those of `products.tile`, but that bytes lead from one output's weights to the
    next's. Zeros are written up to the end of the vector.
    """

    def body(b: ir.IRBuilder, of: ir.Type, args: Sequence[ir.Value]) -> None:
        segments, count, first, weights, row_bytes, bias, addend, a_stride, y, y_stride = args
        vec, size = lanes.vector(of), lanes.size_of(of)
        wide = lanes.number(b, LANES * size)
        ascending = ir.Constant(ir.VectorType(lanes.INT, LANES), list(range(LANES)))
        zero = lanes.constant(vec, 0.0)
        sums = [cgutils.alloca_once(b, vec) for _ in range(outputs)]
        for total in sums:
            b.store(zero, total)
        w = cgutils.alloca_once_value(b, weights)

        def add(values: ir.Value, at: ir.Value) -> None:
            for o, total in enumerate(sums):
                row = b.add(at, b.mul(row_bytes, lanes.number(b, o)))
                b.store(lanes.fma(b, values, lanes.load(b, row, vec), b.load(total)), total)

        with cgutils.for_range(b, count) as outer:
            entry = b.add(segments, b.mul(outer.index, lanes.number(b, 8 * SEGMENT)))
            x, stride, length = (
                lanes.load(b, b.add(entry, lanes.number(b, 8 * i)), lanes.INT)
                for i in range(SEGMENT)
            )
            x, start = b.add(x, b.mul(stride, first)), b.load(w)
            whole = b.sdiv(length, lanes.number(b, LANES))
            with cgutils.for_range(b, whole) as inner:
                at = b.mul(inner.index, wide)
                add(lanes.load(b, b.add(x, at), vec), b.add(start, at))
            at = b.mul(whole, wide)
            b.store(b.add(start, at), w)
            left = b.srem(length, lanes.number(b, LANES))
            with b.if_then(b.icmp_signed("!=", left, lanes.number(b, 0))):
                within = b.icmp_signed("<", ascending, lanes.splat(b, left))
                add(b.select(within, lanes.load(b, b.add(x, at), vec), zero), b.add(start, at))
                b.store(b.add(b.add(start, at), wide), w)
        found = zero
        for o, total in enumerate(sums):
            place = ir.Constant(ir.IntType(32), o)
            found = b.insert_element(found, _folded(b, b.load(total)), place)
        b.store(b.fadd(found, lanes.load(b, bias, vec)), sums[0])
        with b.if_then(b.icmp_signed("!=", addend, lanes.number(b, 0))):
            more = lanes.load(b, b.add(addend, b.mul(a_stride, first)), vec)
            b.store(b.fadd(b.load(sums[0]), more), sums[0])
        lanes.store(b, b.load(sums[0]), b.add(y, b.mul(y_stride, first)))

    return body


def _folded(b: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """The sum of a vector's lanes, halves first."""
    word, half = ir.IntType(32), LANES // 2
    while half:
        moved = ir.Constant(ir.VectorType(word, LANES), [i ^ half for i in range(LANES)])
        x = b.fadd(x, b.shuffle_vector(x, ir.Constant(x.type, ir.Undefined), moved))
        half //= 2
    return b.extract_element(x, ir.Constant(word, 0))
