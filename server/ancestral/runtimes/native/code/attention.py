"""Attention of one query per slot over the keys and values its slot has kept.

Keys are stored [heads, width, places], so that the scores of neighbouring keys are one vector;
values [heads, places, width]. Sums run over ascending widths and ascending keys, whatever the
batch: a slot's bits are its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir
from numba import njit
from numba.core import cgutils

from ancestral.runtimes.native.code import lanes
from ancestral.runtimes.native.code.blocks import WEIGHTED
from ancestral.runtimes.native.code.lanes import LANES, bytes_of, call_kernel
from ancestral.runtimes.native.code.memory import integer, load, store
from ancestral.runtimes.native.code.pointwise import CODES, apply

# the extra of an attention step
(HEADS, WIDTH, VALUE_WIDTH, CAPACITY, KEYS, VALUES, KEY_SLOT, VALUE_SLOT, NEWEST, SCALE, MASK,
 MASK_SLOT, MASK_QUERY, MASK_HEAD, LEAD, VALUE_STRIDE) = range(16)  # fmt: skip
EXTRA = 16
_EXP = CODES["exp"]
BLOCK = 4  # vectors in flight


def weighted(b: ir.IRBuilder, of: ir.Type, args: Sequence[ir.Value]) -> None:
    """out[j] = Σ_k x[k] · m[k, j]; arguments: x, m, bytes from row to row of m, rows, columns, out.

    Rows are taken in ascending order, `BLOCK` vectors of columns at a time.
    """
    x, matrix, stride, rows, columns, out = args[:6]
    vec, size = lanes.vector(of), lanes.size_of(of)
    wide = LANES * size
    block = lanes.number(b, BLOCK * LANES)
    sums = [cgutils.alloca_once(b, vec) for _ in range(BLOCK)]
    count = b.sdiv(b.add(columns, b.sub(block, lanes.number(b, 1))), block)
    with cgutils.for_range(b, count) as outer:
        offset = b.mul(outer.index, lanes.number(b, BLOCK * wide))
        for total in sums:
            b.store(lanes.constant(vec, 0.0), total)
        start = b.add(matrix, offset)
        with cgutils.for_range(b, rows) as inner:
            k = inner.index
            factor = lanes.splat(b, b.load(b.gep(lanes.at(b, x, of), [k], source_etype=of), typ=of))
            row = b.add(start, b.mul(k, stride))
            for i, total in enumerate(sums):
                value = lanes.load(b, b.add(row, lanes.number(b, i * wide)), vec)
                b.store(lanes.fma(b, factor, value, b.load(total)), total)
        for i, total in enumerate(sums):
            lanes.store(b, b.load(total), b.add(b.add(out, offset), lanes.number(b, i * wide)))


@njit
def softmax(like, kernel, scores, count):
    """exp(score − max) in place; returns their sum."""
    best = load(like, scores, 0)
    for j in range(1, count):
        best = max(best, load(like, scores, j))
    for j in range(count):
        store(like, scores, j, load(like, scores, j) - best)
    apply(like, kernel, _EXP, scores, scores, scores, scores, count)
    total = like - like
    for j in range(count):
        total += load(like, scores, j)
    return total


@njit
def attend(like, kernel, extra, slot, rank, q, k, v, out, scratch):
    """Keep this site's key and value; out [heads, value width] for query q [heads, width]."""
    size = bytes_of(like)
    heads, width, value_width = (
        integer(extra, HEADS),
        integer(extra, WIDTH),
        integer(extra, VALUE_WIDTH),
    )
    capacity, row = integer(extra, CAPACITY), integer(extra, VALUE_STRIDE)
    keys = integer(extra, KEYS) + slot * integer(extra, KEY_SLOT)
    values = integer(extra, VALUES) + slot * integer(extra, VALUE_SLOT)
    newest = rank + integer(extra, NEWEST)
    scale = load(like, integer(extra, SCALE), 0)
    mask = integer(extra, MASK)
    if mask:
        query = max(rank - integer(extra, LEAD), 0)
        mask += slot * integer(extra, MASK_SLOT) + query * integer(extra, MASK_QUERY)
    count = max(newest + 1, 1)
    for head in range(heads):
        head_keys = keys + head * width * capacity * size
        head_values = values + head * capacity * row * size
        if newest >= 0:
            for i in range(width):
                store(like, head_keys, i * capacity + newest, load(like, k, head * width + i))
            for i in range(value_width):
                at = newest * row + i
                store(like, head_values, at, load(like, v, head * value_width + i))
        call_kernel(
            kernel, WEIGHTED, q + head * width * size, head_keys, capacity * size, width, count,
            scratch, 0, 0, 0, 0,
        )  # fmt: skip
        for j in range(count):
            score = load(like, scratch, j) * scale
            if mask:
                score += load(like, mask + head * integer(extra, MASK_HEAD), j)
            store(like, scratch, j, score)
        total = softmax(like, kernel, scratch, count)
        # behind the scores lies room for one head's result
        found = scratch + capacity * size
        call_kernel(
            kernel,
            WEIGHTED,
            scratch,
            head_values,
            row * size,
            count,
            value_width,
            found,
            0,
            0,
            0,
            0,
        )
        for i in range(value_width):
            store(like, out, head * value_width + i, load(like, found, i) / total)
