"""Products of rows with a packed matrix, blocked so that the sums stay in registers.

A matrix [out, in] is packed as panels of `LANES` outputs, [panels, in, LANES]. A tile computes a
few rows by a few panels. Whatever the tile, output o of a row is bias (+ addend) + Σ x_i·w_oi,
added in ascending i by fused multiply-adds: the bits of a row do not depend on how many rows are
computed with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import cgutils

from ancestral.runtimes.native.code import lanes
from ancestral.runtimes.native.code.blocks import GROUP
from ancestral.runtimes.native.code.lanes import LANES, Body

SEGMENT = 3  # integers of a segment: address of the first row, bytes from row to row, elements


def pack(matrix: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """[out, in] as panels of LANES outputs, zeros behind the last output; one after the other.

    `GROUP` panels stand side by side, [in, panels of the group, LANES], and group behind group: a
    single row then reads its weights as one stream.
    """
    out, size = matrix.shape
    panels = -(-out // LANES)
    padded = np.zeros((panels, LANES, size), dtype=matrix.dtype)
    padded.reshape(panels * LANES, size)[:out] = matrix
    groups = [padded[g : g + GROUP].transpose(2, 0, 1).ravel() for g in range(0, panels, GROUP)]
    return np.concatenate(groups)


def tile(rows: int, panels: int) -> Body:
    """y[row, panel] = bias[panel] + addend[row, panel] + Σ over segments and elements of x·w.

    Arguments: address of the segments, their number, the first row, weights, bytes from
    group of panels to the next, bias, addend (0: none), bytes from row to row of it, y,
    bytes from row to row of it.
    """

    def body(b: ir.IRBuilder, of: ir.Type, args: Sequence[ir.Value]) -> None:
        segments, count, first, weights, group_bytes, bias, addend, a_stride, y, y_stride = args
        vec, size = lanes.vector(of), lanes.size_of(of)
        wide = LANES * size
        k_bytes = lanes.number(b, min(GROUP, panels) * wide)
        sums = [[cgutils.alloca_once(b, vec) for _ in range(panels)] for _ in range(rows)]

        def place(address: ir.Value, stride: ir.Value, row: int, panel: int) -> ir.Value:
            at = b.add(address, b.mul(stride, b.add(first, lanes.number(b, row))))
            return b.add(at, lanes.number(b, panel * wide))

        for p in range(panels):
            start = lanes.load(b, b.add(bias, lanes.number(b, p * wide)), vec)
            for r in range(rows):
                b.store(start, sums[r][p])
        with b.if_then(b.icmp_signed("!=", addend, lanes.number(b, 0))):
            for r in range(rows):
                for p in range(panels):
                    more = lanes.load(b, place(addend, a_stride, r, p), vec)
                    b.store(b.fadd(b.load(sums[r][p]), more), sums[r][p])
        w = cgutils.alloca_once_value(b, weights)
        with cgutils.for_range(b, count) as outer:
            entry = b.add(segments, b.mul(outer.index, lanes.number(b, 8 * SEGMENT)))
            x, stride, length = (
                lanes.load(b, b.add(entry, lanes.number(b, 8 * i)), lanes.INT)
                for i in range(SEGMENT)
            )
            start = b.load(w)
            inputs = [b.add(x, b.mul(stride, first))]
            for _ in range(rows - 1):
                inputs.append(b.add(inputs[-1], stride))
            with cgutils.for_range(b, length) as inner:
                k = inner.index
                row = b.add(start, b.mul(k, k_bytes))
                values = []
                for p in range(panels):
                    here = b.add(row, lanes.number(b, p % GROUP * wide))
                    here = b.add(here, b.mul(group_bytes, lanes.number(b, p // GROUP)))
                    values.append(lanes.load(b, here, vec))
                for r in range(rows):
                    pointer = b.gep(lanes.at(b, inputs[r], of), [k], source_etype=of)
                    factor = lanes.splat(b, b.load(pointer, typ=of))
                    for p in range(panels):
                        total = lanes.fma(b, factor, values[p], b.load(sums[r][p]))
                        b.store(total, sums[r][p])
            b.store(b.add(start, b.mul(length, k_bytes)), w)
        for r in range(rows):
            for p in range(panels):
                lanes.store(b, b.load(sums[r][p]), place(y, y_stride, r, p))

    return body
