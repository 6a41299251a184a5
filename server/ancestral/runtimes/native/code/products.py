"""Products of rows with a packed matrix, blocked so that the sums stay in registers.

A matrix [out, in] is packed as panels of `LANES` outputs, [panels, in, LANES]. A tile computes a
few rows by a few panels. Whatever the tile, output o of a row is bias (+ addend) + Σ x_i·w_oi,
added in ascending i by fused multiply-adds: the bits of a row do not depend on how many rows are
computed with it, nor on the form (`forms`) in which the weights are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import cgutils

from ancestral.runtimes.native.code import lanes
from ancestral.runtimes.native.code.blocks import BF16, FULL, GROUP, INT8, NARROW, RECORD
from ancestral.runtimes.native.code.forms import step_bytes, widened
from ancestral.runtimes.native.code.lanes import LANES, Body
from ancestral.runtimes.native.code.narrow import MOST, pack_narrow

LINE = 64  # bytes of a cache line
_AHEAD = 2048  # bytes
_LARGE = 2**15  # bytes of a tile's weights from which they are expected to come from far off,
_FAR = 6144  # and are asked for into the second level so many bytes before that
BLOCK = 8  # rows of the largest tiles
SEGMENT = 3  # integers of a segment: address of the first row, bytes from row to row, elements


@dataclass(frozen=True, slots=True)
class Packed:
    """A matrix [out, in] as products read it, in the smallest form that holds it.

    `scale` [out] of eight-bit weights: the power of two that each output is a multiple of.
    """

    weights: npt.NDArray[Any]
    form: int
    panels: int
    scale: npt.NDArray[Any] | None = None

    @property
    def parts(self) -> int:
        """What a product counts: panels, or outputs where they are few."""
        return len(self.weights) if self.form == NARROW else self.panels

    def record(self, bias: npt.NDArray[Any] | None) -> npt.NDArray[Any]:
        """What stands beside each panel, [panels, RECORD, LANES]: the bias; with a scale, bias /
        scale, 1 / scale and scale."""
        wide = np.zeros(self.panels * LANES, dtype=np.float64)
        if bias is not None:
            wide[: bias.size] = bias
        if self.scale is None:
            return wide.reshape(self.panels, 1, LANES)
        scale = np.ones(self.panels * LANES)
        scale[: self.scale.size] = self.scale
        rows = np.stack([wide / scale, 1 / scale, scale])
        return rows.reshape(RECORD[INT8], self.panels, LANES).transpose(1, 0, 2)


def pack(matrix: npt.NDArray[Any], sizes: Sequence[int]) -> Packed:
    """[out, in] as panels of LANES outputs, zeros behind the last output; one after the other.

    `GROUP` panels stand side by side, [in, panels of the group, LANES], and group behind group: a
    single row then reads its weights as one stream. A few outputs are rows, see `narrow`. `sizes`
    are those of the segments in which the inputs come.
    """
    out, size = matrix.shape
    if out <= MOST:
        return Packed(pack_narrow(matrix, sizes), NARROW, 1)
    panels = -(-out // LANES)
    form, kept, scale = _smallest(matrix)
    stored = panels if form == FULL else -(-panels // GROUP) * GROUP
    padded = np.zeros((stored, LANES, size), dtype=kept.dtype)
    padded.reshape(stored * LANES, size)[:out] = kept
    groups = [padded[g : g + GROUP].transpose(2, 0, 1) for g in range(0, stored, GROUP)]
    if form == BF16:
        groups = [g[:, 0].astype(np.uint32) | g[:, 1].astype(np.uint32) << 16 for g in groups]
    return Packed(np.concatenate([g.ravel() for g in groups]), form, panels, scale)


def _smallest(
    matrix: npt.NDArray[Any],
) -> tuple[int, npt.NDArray[Any], npt.NDArray[Any] | None]:
    """The form that loses nothing, the matrix in it, and the scale of its rows."""
    if matrix.dtype != np.float32:
        return FULL, matrix, None
    fraction, exponent = np.frexp(np.abs(matrix).max(1) / np.float32(127))
    scale = np.ldexp(np.float32(1), exponent - (fraction == 0.5))
    scale[fraction == 0] = 1
    codes = matrix / scale[:, None]
    if (codes == np.rint(codes)).all():
        return INT8, codes.astype(np.int8), scale
    bits = np.ascontiguousarray(matrix).view(np.uint32)
    if not (bits & 0xFFFF).any():
        return BF16, (bits >> 16).astype(np.uint16), None
    return FULL, matrix, None


def _ask(b: ir.IRBuilder, row: ir.Value, group_bytes: ir.Value, groups: int, size: int) -> None:
    """Ask for the weights `_AHEAD` bytes on: the machine itself asks within one page only.

    A single row reads four groups side by side, which it meets by itself.
    """
    for group in range(groups):
        start = b.add(row, b.mul(group_bytes, lanes.number(b, group)))
        for line in range(0, size, LINE):
            lanes.prefetch(b, b.add(start, lanes.number(b, _AHEAD + line)))


def tile(rows: int, panels: int, form: int = FULL) -> Body:
    """y[row, panel] = bias[panel] + addend[row, panel] + Σ over segments and elements of x·w.

    Arguments: address of the segments, their number, the first row, weights, bytes from
    group of panels to the next, bias (`Packed.record`), addend (0: none), bytes from row to row of
    it, y, bytes from row to row of it. In place of the first row, tiles of `BLOCK` rows are told
    how many blocks of rows there are, and go through all of them.
    """

    def body(b: ir.IRBuilder, of: ir.Type, args: Sequence[ir.Value]) -> None:
        if rows < BLOCK:
            _tile(b, of, args, rows, panels, form, None)
            return
        segments, count, blocks, weights, *others = args
        ask = _Ahead(b, of, segments, count, blocks, weights, step_bytes(form, panels, of))
        with cgutils.for_range(b, blocks) as loop:
            first = b.mul(loop.index, lanes.number(b, BLOCK))
            given = (segments, count, first, weights, *others)
            _tile(b, of, given, rows, panels, form, ask)

    return body


class _Ahead:
    """Asks for the weights that come after a tile's own, a share of them with each block of rows.

    They lie behind its own: the order of weights is that of use. A single block asks for what is
    `_AHEAD` bytes on, if its own weights reach that far.
    """

    def __init__(
        self, b: ir.IRBuilder, of: ir.Type, segments: ir.Value, count: ir.Value, blocks: ir.Value,
        weights: ir.Value, size: int,
    ) -> None:  # fmt: skip
        own = cgutils.alloca_once_value(b, lanes.number(b, 0))
        with cgutils.for_range(b, count) as loop:
            entry = b.add(segments, b.mul(loop.index, lanes.number(b, 8 * SEGMENT)))
            length = lanes.load(b, b.add(entry, lanes.number(b, 16)), lanes.INT)
            b.store(b.add(b.load(own), b.mul(length, lanes.number(b, size))), own)
        single = b.icmp_signed("==", blocks, lanes.number(b, 1))
        near = b.icmp_signed("<", b.load(own), lanes.number(b, _AHEAD))
        near = b.or_(near, b.not_(single))
        distance = b.select(near, b.load(own), lanes.number(b, _AHEAD))
        self.share = b.sdiv(lanes.number(b, size), blocks)
        self._second = b.select(single, lanes.number(b, LINE), lanes.number(b, 0))
        self._size = size
        self._far = b.and_(single, b.icmp_signed(">=", b.load(own), lanes.number(b, _LARGE)))
        self._place = cgutils.alloca_once_value(b, b.add(weights, distance))

    def start(self, b: ir.IRBuilder) -> ir.Value:
        """Where a segment begins to ask."""
        return b.load(self._place)

    def lines(self, b: ir.IRBuilder, start: ir.Value, k: ir.Value) -> None:
        """What is asked for with input k of a segment."""
        at = b.add(start, b.mul(k, self.share))
        lanes.prefetch(b, at)
        if self._size > LINE:
            lanes.prefetch(b, b.add(at, self._second))
        with b.if_then(self._far):
            for line in range(0, min(self._size, 2 * LINE), LINE):
                lanes.prefetch(b, b.add(at, lanes.number(b, _FAR + line)), lanes.SECOND)

    def end(self, b: ir.IRBuilder, start: ir.Value, length: ir.Value) -> None:
        b.store(b.add(start, b.mul(length, self.share)), self._place)


def _tile(
    b: ir.IRBuilder, of: ir.Type, args: Sequence[ir.Value], rows: int, panels: int, form: int,
    ahead: _Ahead | None,
) -> None:  # fmt: skip
    """Rows from `first` on; see `tile`."""
    segments, count, first, weights, group_bytes, bias, addend, a_stride, y, y_stride = args
    vec, size = lanes.vector(of), lanes.size_of(of)
    wide = LANES * size
    k_bytes = lanes.number(b, step_bytes(form, panels, of))
    record = wide * RECORD[form]
    sums = [[cgutils.alloca_once(b, vec) for _ in range(panels)] for _ in range(rows)]

    def place(address: ir.Value, stride: ir.Value, row: int, panel: int) -> ir.Value:
        at = b.add(address, b.mul(stride, b.add(first, lanes.number(b, row))))
        return b.add(at, lanes.number(b, panel * wide))

    def beside(panel: int, which: int) -> ir.Value:
        at = lanes.number(b, panel * record + which * wide)
        return lanes.load(b, b.add(bias, at), vec)

    for p in range(panels):
        start = beside(p, 0)
        for r in range(rows):
            b.store(start, sums[r][p])
    with b.if_then(b.icmp_signed("!=", addend, lanes.number(b, 0))):
        for r in range(rows):
            for p in range(panels):
                more = lanes.load(b, place(addend, a_stride, r, p), vec)
                if form == INT8:
                    more = b.fmul(more, beside(p, 1))
                b.store(b.fadd(b.load(sums[r][p]), more), sums[r][p])
    w = cgutils.alloca_once(b, lanes.INT)
    b.store(weights, w)
    with cgutils.for_range(b, count) as outer:
        entry = b.add(segments, b.mul(outer.index, lanes.number(b, 8 * SEGMENT)))
        x, stride, length = (
            lanes.load(b, b.add(entry, lanes.number(b, 8 * i)), lanes.INT) for i in range(SEGMENT)
        )
        start = b.load(w)
        inputs = [b.add(x, b.mul(stride, first))]
        for _ in range(rows - 1):
            inputs.append(b.add(inputs[-1], stride))
        asked = None if ahead is None else ahead.start(b)
        with cgutils.for_range(b, length) as inner:
            k = inner.index
            row = b.add(start, b.mul(k, k_bytes))
            if ahead is not None:
                ahead.lines(b, asked, k)
            elif rows > 1:
                _ask(b, row, group_bytes, -(-panels // GROUP), step_bytes(form, panels, of))
            values = widened(b, form, of, row, group_bytes, panels)
            for r in range(rows):
                pointer = b.gep(lanes.at(b, inputs[r], of), [k], source_etype=of)
                factor = lanes.splat(b, b.load(pointer, typ=of))
                for p in range(panels):
                    total = lanes.fma(b, factor, values[p], b.load(sums[r][p]))
                    b.store(total, sums[r][p])
        b.store(b.add(start, b.mul(length, k_bytes)), w)
        if ahead is not None:
            ahead.end(b, asked, length)
    for r in range(rows):
        for p in range(panels):
            total = b.load(sums[r][p])
            if form == INT8:
                total = b.fmul(total, beside(p, 2))
            lanes.store(b, total, place(y, y_stride, r, p))
