"""Attention over the elements of an item: keys and values lie wherever their addresses say."""

from __future__ import annotations

from numba import njit

from ancestral.runtimes.native import fields as f
from ancestral.runtimes.native.code.addresses import address
from ancestral.runtimes.native.code.attention import row_of, vectors
from ancestral.runtimes.native.code.blocks import FLASH
from ancestral.runtimes.native.code.flash import KEY_ROW, KEY_WIDTH, RECORD, VALUE_WIDTH
from ancestral.runtimes.native.code.lanes import LANES, bytes_of, call_kernel
from ancestral.runtimes.native.code.memory import integer, load, move, store

# the extra: where each row's list begins, the lists, addresses [heads · keys, width] of keys and
# values, what is added to the scores (0: nothing), and the record of `flash`
STARTS, LISTED, KEYS, VALUES, BIAS, ROWS = range(6)
EXTRA = ROWS + RECORD


@njit
def _gathered(like, elements, which, count, addresses, width, out):
    """Rows of a list as whole vectors, zeros behind each, and rows of zeros behind the last."""
    wide = vectors(width) * LANES
    for j in range(vectors(count) * LANES):
        filled = 0
        if j < count:
            row = addresses + 8 * integer(which, j) * width
            for i in range(width):
                store(like, out, i, load(like, elements, integer(row, i)))
            filled = width
        for i in range(filled, wide):
            store(like, out, i, like - like)
        out += wide * bytes_of(like)


@njit
def run_attention(like, kernel, op, scratch, stand, ranks, phases, lengths):
    """Queries ROW … of a part, for the slots at hand."""
    extra, size = integer(op, f.EXTRA), bytes_of(like)
    first, rows, arena = integer(stand, f.ROW), integer(stand, f.EACH), integer(stand, f.ARENA)
    record = extra + 8 * ROWS
    width, value_width = integer(record, KEY_WIDTH), integer(record, VALUE_WIDTH)
    found = scratch + vectors(width) * LANES * size  # behind the query
    keys = found + vectors(value_width) * LANES * size
    q = address(op, f.X, 0, stand, ranks, phases, lengths)
    out = address(op, f.OUT, 0, stand, ranks, phases, lengths)
    for slot in range(integer(stand, f.SLOTS)):
        elements = arena + slot * integer(stand, f.ARENA_SLOT)
        for r in range(first, first + rows):
            start = integer(integer(extra, STARTS), r)
            count = integer(integer(extra, STARTS), r + 1) - start
            which = integer(extra, LISTED) + 8 * start
            values = keys + vectors(count) * LANES * integer(record, KEY_ROW)
            _gathered(like, elements, which, count, integer(extra, KEYS), width, keys)
            _gathered(like, elements, which, count, integer(extra, VALUES), value_width, values)
            bias = integer(extra, BIAS) + start * size if integer(extra, BIAS) else 0
            call_kernel(
                kernel, FLASH, record, row_of(like, q, width, scratch), keys, values, count, 0,
                bias, 0, found, 0,
            )  # fmt: skip
            move(like, found, 0, out, 0, value_width)
            q += integer(op, f.X + f.COLUMN)
            out += integer(op, f.OUT + f.COLUMN)
