"""Attention of one query in one pass over its keys and values, the softmax kept up to date.

Milakov and Gimelshein 2018, "Online normalizer calculation for softmax", algorithm 3, over blocks
of LANES keys as in Dao et al. 2022, "FlashAttention": a block's scores raise the largest so far or
not; where they do, the sums so far are multiplied by exp(old − new). Keys and values are read once,
side by side, as two streams. The order of additions follows from the number of keys alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from llvmlite import ir
from numba.core import cgutils

from ancestral.runtimes.native.code import lanes
from ancestral.runtimes.native.code.functions import exp, greater
from ancestral.runtimes.native.code.lanes import LANES
from ancestral.runtimes.native.code.vectors import Place, everywhere, placed, products

# of keys, then values: bytes from row to row and elements of a row; the address of the scale
KEY_ROW, KEY_WIDTH, VALUE_ROW, VALUE_WIDTH, SCALE = range(5)
RECORD = 5
_AT_ONCE = 4  # vectors of a value that are summed at once


def flash(b: ir.IRBuilder, of: ir.Type, args: Sequence[ir.Value]) -> None:
    """out = Σ_j softmax_j(scale · q·k_j + mask_j) v_j, whole vectors.

    Arguments: record, q, keys, values, how many, index of places (0: 0, 1, 2 …), mask (0: none),
    index into the mask (0: 0, 1, 2 …), out, whole vectors.
    """
    record, q, keys, values, count, index, mask, mask_index, out = args[:9]
    vec, size = lanes.vector(of), lanes.size_of(of)
    wide = lanes.number(b, LANES * size)
    key_row, key_width, value_row, value_width, scale = (
        lanes.load(b, b.add(record, lanes.number(b, 8 * i)), lanes.INT) for i in range(RECORD)
    )
    key_vectors, value_vectors = _whole(b, key_width), _whole(b, value_width)
    infinite, zero = lanes.constant(vec, -math.inf), lanes.constant(vec, 0.0)
    ascending = ir.Constant(ir.VectorType(lanes.INT, LANES), list(range(LANES)))
    factor = lanes.splat(b, lanes.load(b, scale, of))
    highest = cgutils.alloca_once_value(b, infinite)
    total = cgutils.alloca_once_value(b, zero)
    weights = cgutils.alloca_once(b, of, size=LANES)
    weights_at = b.ptrtoint(weights, lanes.INT)

    def each_vector(body: Callable[[ir.Value], None]) -> None:
        with cgutils.for_range(b, value_vectors) as loop:
            body(b.add(out, b.mul(loop.index, wide)))

    def rescaled(by: ir.Value) -> None:
        each_vector(lambda at: lanes.store(b, b.fmul(lanes.load(b, at, vec), by), at))

    def run(place: Place) -> None:
        with cgutils.for_range(b, _whole(b, count)) as loop:
            first = b.mul(loop.index, lanes.number(b, LANES))
            rows = [place(b.add(first, lanes.number(b, i))) for i in range(LANES)]
            at = [b.add(keys, b.mul(row, key_row)) for row in rows]
            scores = b.fmul(products(b, of, q, at, key_vectors), factor)
            scores = _masked(b, of, scores, mask, mask_index, first)
            held = lanes.splat(b, b.sub(count, first))
            scores = b.select(b.icmp_signed("<", ascending, held), scores, infinite)
            best = greater(b, b.load(highest), everywhere(b, scores, greater))
            with b.if_then(_first(b, b.fcmp_ordered(">", best, b.load(highest)))):
                by = exp(b, b.fsub(b.load(highest), best))
                b.store(b.fmul(b.load(total), by), total)
                rescaled(by)
                b.store(best, highest)
            none = b.fcmp_ordered("==", best, infinite)
            weight = exp(b, b.fsub(scores, b.select(none, zero, best)))
            b.store(b.fadd(b.load(total), weight), total)
            lanes.store(b, weight, weights_at)
            at = [b.add(values, b.mul(row, value_row)) for row in rows]
            full = b.icmp_signed(">=", b.sub(count, first), lanes.number(b, LANES))
            with b.if_else(full) as (whole, rest):
                with whole:
                    _add(b, of, weights, at, value_vectors, out)
                with rest, cgutils.for_range(b, b.sub(count, first)) as tail:
                    one = b.add(values, b.mul(place(b.add(first, tail.index)), value_row))
                    factor_at = b.gep(weights, [tail.index])
                    _add(b, of, factor_at, [one], value_vectors, out)

    each_vector(lambda at: lanes.store(b, zero, at))
    placed(b, index, run)
    whole_sum = everywhere(b, b.load(total), lambda b, x, y: b.fadd(x, y))
    each_vector(lambda at: lanes.store(b, b.fdiv(lanes.load(b, at, vec), whole_sum), at))


def _whole(b: ir.IRBuilder, count: ir.Value) -> ir.Value:
    """Vectors that hold so many elements."""
    return b.sdiv(b.add(count, lanes.number(b, LANES - 1)), lanes.number(b, LANES))


def _first(b: ir.IRBuilder, x: ir.Value) -> ir.Value:
    return b.extract_element(x, ir.Constant(ir.IntType(32), 0))


def _masked(
    b: ir.IRBuilder, of: ir.Type, scores: ir.Value, mask: ir.Value, index: ir.Value,
    first: ir.Value,
) -> ir.Value:  # fmt: skip
    """The scores of a block and its part of the mask, if there is one."""
    vec, none = scores.type, lanes.number(b, 0)
    found = cgutils.alloca_once_value(b, scores)
    b.store(scores, found)
    size = lanes.number(b, lanes.size_of(of))
    with (
        b.if_then(b.icmp_signed("!=", mask, none)),
        b.if_else(b.icmp_signed("==", index, none)) as (straight, listed),
    ):
        with straight:
            row = lanes.load(b, b.add(mask, b.mul(first, size)), vec)
            b.store(b.fadd(scores, row), found)
        with listed:
            row = ir.Constant(vec, ir.Undefined)
            for i in range(LANES):
                at = b.add(index, b.shl(b.add(first, lanes.number(b, i)), lanes.number(b, 3)))
                own = b.add(mask, b.mul(lanes.load(b, at, lanes.INT), size))
                where = ir.Constant(ir.IntType(32), i)
                row = b.insert_element(row, lanes.load(b, own, of), where)
            b.store(b.fadd(scores, row), found)
    return b.load(found)


def _add(
    b: ir.IRBuilder, of: ir.Type, weights: ir.Value, rows: Sequence[ir.Value], vectors: ir.Value,
    out: ir.Value,
) -> None:  # fmt: skip
    """out += Σ weight · row; of two rows or more, every second goes to a sum of its own."""
    vec, wide = lanes.vector(of), LANES * lanes.size_of(of)

    def columns(width: int, offset: ir.Value) -> None:
        at = [b.add(offset, lanes.number(b, i * wide)) for i in range(width)]
        sums = [[lanes.load(b, b.add(out, a), vec) for a in at]]
        if len(rows) > 1:
            sums.append([lanes.constant(vec, 0.0)] * width)
        for k, row in enumerate(rows):
            factor = lanes.splat(b, b.load(b.gep(weights, [lanes.number(b, k)]), typ=of))
            group = sums[k % len(sums)]
            for i, a in enumerate(at):
                group[i] = lanes.fma(b, factor, lanes.load(b, b.add(row, a), vec), group[i])
        for i, a in enumerate(at):
            found = b.fadd(sums[0][i], sums[1][i]) if len(sums) > 1 else sums[0][i]
            lanes.store(b, found, b.add(out, a))

    each = lanes.number(b, _AT_ONCE)
    groups = b.sdiv(vectors, each)
    with cgutils.for_range(b, groups) as loop:
        columns(_AT_ONCE, b.mul(loop.index, lanes.number(b, _AT_ONCE * wide)))
    with cgutils.for_range(b, b.srem(vectors, each)) as loop:
        columns(1, b.mul(b.add(b.mul(groups, each), loop.index), lanes.number(b, wide)))
