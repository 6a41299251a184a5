"""Attention over the elements of an item: keys and values lie wherever their addresses say."""

from __future__ import annotations

from numba import njit

from ancestral.runtimes.native import fields as f
from ancestral.runtimes.native.code.addresses import address
from ancestral.runtimes.native.code.attention import row_of, vectors
from ancestral.runtimes.native.code.blocks import DOTS, SOFTMAX, WEIGHTED
from ancestral.runtimes.native.code.lanes import LANES, bytes_of, call_kernel
from ancestral.runtimes.native.code.memory import integer, load, store

# the extra: where each row's list begins, the lists, addresses [heads · keys, width] of keys and
# values, the scale, and what is added to the scores (0: nothing)
STARTS, LISTED, KEYS, WIDTH, VALUES, VALUE_WIDTH, SCALE, BIAS = range(8)
EXTRA = 8


@njit
def _gathered(like, elements, which, count, addresses, width, out):
    """Rows of a list as whole vectors, zeros behind each, and rows of zeros behind the last."""
    wide = vectors(width) * LANES
    for j in range(vectors(count) * LANES):
        for i in range(wide):
            value = like - like
            if j < count and i < width:
                row = integer(which, j) * width
                value = load(like, elements, integer(addresses, row + i))
            store(like, out, j * wide + i, value)


@njit
def run_attention(like, kernel, op, scratch, stand, ranks, phases, lengths):
    """Queries ROW … of a part, for the slots at hand."""
    extra, size = integer(op, f.EXTRA), bytes_of(like)
    first, rows, arena = integer(stand, f.ROW), integer(stand, f.EACH), integer(stand, f.ARENA)
    width, value_width = integer(extra, WIDTH), integer(extra, VALUE_WIDTH)
    row_bytes, value_bytes = vectors(width) * LANES * size, vectors(value_width) * LANES * size
    query = scratch + LANES * size
    found = query + row_bytes
    scores = found + value_bytes
    q = address(op, f.X, 0, stand, ranks, phases, lengths)
    out = address(op, f.OUT, 0, stand, ranks, phases, lengths)
    for slot in range(integer(stand, f.SLOTS)):
        elements = arena + slot * integer(stand, f.ARENA_SLOT)
        for r in range(first, first + rows):
            start = integer(integer(extra, STARTS), r)
            count = integer(integer(extra, STARTS), r + 1) - start
            which = integer(extra, LISTED) + 8 * start
            gathered = scores + vectors(count) * LANES * size
            _gathered(like, elements, which, count, integer(extra, KEYS), width, gathered)
            call_kernel(
                kernel, DOTS, row_of(like, q, width, query), gathered, row_bytes, vectors(width),
                vectors(count), scores, 0, integer(extra, SCALE), 0, 0,
            )  # fmt: skip
            if integer(extra, BIAS):
                bias = integer(extra, BIAS) + start * size
                for j in range(count):
                    store(like, scores, j, load(like, scores, j) + load(like, bias, j))
            call_kernel(kernel, SOFTMAX, scores, count, scores, scratch, 0, 0, 0, 0, 0, 0)
            total = load(like, scratch, 0)
            _gathered(like, elements, which, count, integer(extra, VALUES), value_width, gathered)
            call_kernel(
                kernel, WEIGHTED, scores, gathered, value_bytes, count, vectors(value_width),
                found, 0, 0, 0, 0,
            )  # fmt: skip
            for i in range(value_width):
                store(like, out, i, load(like, found, i) / total)
            q += integer(op, f.X + f.COLUMN)
            out += integer(op, f.OUT + f.COLUMN)
