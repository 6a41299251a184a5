"""The inner loops of attention: dot products with rows, softmax, weighted sums of rows.

Rows lie at equal distances, or where an index of 64-bit integers says. Every sum is taken in an
order of its own length alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from llvmlite import ir
from numba.core import cgutils

from ancestral.runtimes.native.code import lanes
from ancestral.runtimes.native.code.functions import exp, greater
from ancestral.runtimes.native.code.lanes import LANES

AT_ONCE = 4  # rows whose addresses are at hand
Place = Callable[[ir.Value], ir.Value]


def placed(b: ir.IRBuilder, index: ir.Value, run: Callable[[Place], None]) -> None:
    """`run` with the place of row k: itself, or what the index at an address says."""
    with b.if_else(b.icmp_signed("==", index, lanes.number(b, 0))) as (straight, listed):
        with straight:
            run(lambda k: k)
        with listed:
            run(lambda k: lanes.load(b, b.add(index, b.shl(k, lanes.number(b, 3))), lanes.INT))


def dots(b: ir.IRBuilder, of: ir.Type, args: Sequence[ir.Value]) -> None:
    """out[k] = scale · Σ_i x[i] m[k, i] for blocks of LANES rows.

    Arguments: x, m, bytes from row to row, vectors in a row, blocks, out, index (0: none), address
    of the scale.
    """
    x, matrix, stride, vectors, blocks, out, index, scale = args[:8]
    wide = LANES * lanes.size_of(of)
    factor = lanes.splat(b, lanes.load(b, scale, of))

    def run(place: Place) -> None:
        with cgutils.for_range(b, blocks) as block:
            first = b.mul(block.index, lanes.number(b, LANES))
            rows = [place(b.add(first, lanes.number(b, i))) for i in range(LANES)]
            rows = [b.add(matrix, b.mul(row, stride)) for row in rows]
            found = b.fmul(products(b, of, x, rows, vectors), factor)
            lanes.store(b, found, b.add(out, b.mul(block.index, lanes.number(b, wide))))

    placed(b, index, run)


def products(
    b: ir.IRBuilder, of: ir.Type, x: ir.Value, rows: Sequence[ir.Value], vectors: ir.Value
) -> ir.Value:
    """The products of x with LANES rows, as one vector."""
    vec, wide = lanes.vector(of), LANES * lanes.size_of(of)
    sums = [cgutils.alloca_once(b, vec) for _ in range(LANES)]
    for base in range(0, LANES, AT_ONCE):
        for i in range(AT_ONCE):
            b.store(lanes.constant(vec, 0.0), sums[base + i])
        with cgutils.for_range(b, vectors) as inner:
            offset = b.mul(inner.index, lanes.number(b, wide))
            value = lanes.load(b, b.add(x, offset), vec)
            for i, row in enumerate(rows[base : base + AT_ONCE]):
                total = sums[base + i]
                row_value = lanes.load(b, b.add(row, offset), vec)
                b.store(lanes.fma(b, value, row_value, b.load(total)), total)
    return _totals(b, [b.load(total) for total in sums])


def _totals(b: ir.IRBuilder, rows: list[ir.Value]) -> ir.Value:
    """The sums of LANES vectors as one vector: halves are added and packed, level by level."""
    size = LANES
    while len(rows) > 1:
        half = size // 2
        groups = range(0, LANES, size)
        low = [g + i for g in groups for i in range(half)]
        high = [i + half for i in low]
        rows = [
            b.fadd(_both(b, rows[i], rows[i + 1], low), _both(b, rows[i], rows[i + 1], high))
            for i in range(0, len(rows), 2)
        ]
        size = half
    return rows[0]


def _both(b: ir.IRBuilder, x: ir.Value, y: ir.Value, chosen: list[int]) -> ir.Value:
    """These lanes of x, then these of y."""
    index = [*chosen, *(i + LANES for i in chosen)]
    return b.shuffle_vector(x, y, ir.Constant(ir.VectorType(ir.IntType(32), LANES), index))


def weighted(b: ir.IRBuilder, of: ir.Type, args: Sequence[ir.Value]) -> None:
    """out[j] = Σ_k x[k] · m[k, j], whole vectors of columns.

    Arguments: x, m, bytes from row to row of m, rows, vectors in a row, out, index (0: none).
    """
    x, matrix, stride, rows, vectors, out, index = args[:7]
    wide = LANES * lanes.size_of(of)

    def run(place: Place) -> None:
        four = lanes.number(b, 4)
        count = b.sdiv(vectors, four)
        with cgutils.for_range(b, count) as outer:
            offset = b.mul(outer.index, lanes.number(b, 4 * wide))
            _columns(b, of, 4, 2, x, b.add(matrix, offset), stride, rows, b.add(out, offset), place)
        with cgutils.for_range(b, b.srem(vectors, four)) as outer:
            offset = b.mul(b.add(b.mul(count, four), outer.index), lanes.number(b, wide))
            _columns(b, of, 1, 4, x, b.add(matrix, offset), stride, rows, b.add(out, offset), place)

    placed(b, index, run)


def _columns(
    b: ir.IRBuilder, of: ir.Type, width: int, unrolled: int, x: ir.Value, start: ir.Value,
    stride: ir.Value, rows: ir.Value, out: ir.Value, place: Place,
) -> None:  # fmt: skip
    """A few vectors of columns: `unrolled` interleaved sums over the rows, added at the end."""
    vec, wide = lanes.vector(of), LANES * lanes.size_of(of)
    sums = [[cgutils.alloca_once(b, vec) for _ in range(width)] for _ in range(unrolled)]
    for group in sums:
        for total in group:
            b.store(lanes.constant(vec, 0.0), total)

    def add(k: ir.Value, group: list[ir.Value]) -> None:
        factor = lanes.splat(b, b.load(b.gep(lanes.at(b, x, of), [k], source_etype=of), typ=of))
        row = b.add(start, b.mul(place(k), stride))
        for i, total in enumerate(group):
            value = lanes.load(b, b.add(row, lanes.number(b, i * wide)), vec)
            b.store(lanes.fma(b, factor, value, b.load(total)), total)

    each = lanes.number(b, unrolled)
    whole = b.sdiv(rows, each)
    with cgutils.for_range(b, whole) as inner:
        first = b.mul(inner.index, each)
        for i, group in enumerate(sums):
            add(b.add(first, lanes.number(b, i)), group)
    with cgutils.for_range(b, b.srem(rows, each)) as inner:
        add(b.add(b.mul(whole, each), inner.index), sums[0])
    for i in range(width):
        total = b.load(sums[0][i])
        for group in sums[1:]:
            total = b.fadd(total, b.load(group[i]))
        lanes.store(b, total, b.add(out, lanes.number(b, i * wide)))


def softmax(b: ir.IRBuilder, of: ir.Type, args: Sequence[ir.Value]) -> None:
    """exp(x − max x), zeros behind the last in its vector, and the sum of it.

    Arguments: x, how many, out, address of the sum.
    """
    x, count, out, total = args[:4]
    vec = lanes.vector(of)
    wide = lanes.number(b, LANES * lanes.size_of(of))
    blocks = b.sdiv(b.add(count, lanes.number(b, LANES - 1)), lanes.number(b, LANES))
    infinite = lanes.constant(vec, -math.inf)
    ascending = ir.Constant(ir.VectorType(lanes.INT, LANES), list(range(LANES)))

    def block(index: ir.Value) -> ir.Value:
        found = lanes.load(b, b.add(x, b.mul(index, wide)), vec)
        place = b.add(lanes.splat(b, b.mul(index, lanes.number(b, LANES))), ascending)
        return b.select(b.icmp_signed("<", place, lanes.splat(b, count)), found, infinite)

    best = cgutils.alloca_once_value(b, infinite)
    with cgutils.for_range(b, blocks) as loop:
        b.store(greater(b, b.load(best), block(loop.index)), best)
    highest = lanes.splat(b, _folded(b, b.load(best), lambda u, v: greater(b, u, v)))
    sums = cgutils.alloca_once_value(b, lanes.constant(vec, 0.0))
    with cgutils.for_range(b, blocks) as loop:
        value = exp(b, b.fsub(block(loop.index), highest))
        lanes.store(b, value, b.add(out, b.mul(loop.index, wide)))
        b.store(b.fadd(b.load(sums), value), sums)
    lanes.store(b, _folded(b, b.load(sums), b.fadd), total)


def _folded(b: ir.IRBuilder, x: ir.Value, function: Callable[..., ir.Value]) -> ir.Value:
    """The lanes of a vector combined, halves first."""
    parts = [b.extract_element(x, ir.Constant(ir.IntType(32), i)) for i in range(LANES)]
    while len(parts) > 1:
        half = len(parts) // 2
        parts = [function(parts[i], parts[i + half]) for i in range(half)]
    return parts[0]


def everywhere(b: ir.IRBuilder, x: ir.Value, function: Callable[..., ir.Value]) -> ir.Value:
    """The lanes of a vector combined, halves first; the result in every lane."""
    shift = LANES // 2
    while shift:
        chosen = ir.Constant(
            ir.VectorType(ir.IntType(32), LANES), [i ^ shift for i in range(LANES)]
        )
        x = function(b, x, b.shuffle_vector(x, ir.Constant(x.type, ir.Undefined), chosen))
        shift //= 2
    return x
