"""Attention of one query per slot over the keys and values that its slot has kept.

Keys and values are stored [heads, places, width], rows of whole vectors. Dense, key j is at place
j; where a mask leaves few keys, a query has a list of the places that it reads. The sums of a slot
are over its own keys in ascending order: its bits are its own.
"""

from __future__ import annotations

from numba import njit

from ancestral.runtimes.native.code.blocks import DOTS, FLASH, WEIGHTED
from ancestral.runtimes.native.code.flash import (
    KEY_ROW,
    KEY_WIDTH,
    RECORD,
    SCALE,
    VALUE_ROW,
    VALUE_WIDTH,
)
from ancestral.runtimes.native.code.lanes import LANES, bytes_of, call_kernel
from ancestral.runtimes.native.code.memory import integer, load, move, store

# the extra of an operation over keys; a list of places is [queries, LISTED]
(HEADS, NEWEST, LEAD, CAPACITY, QUERIES, COUNTS, PLACES, KEYS, LISTED, PLACE, PLACED, MASK,
 MASK_SLOT, MASK_QUERY, MASK_HEAD) = range(15)  # fmt: skip
STORES = 15  # where keys, then values, are: address, bytes from slot to slot and head to head
STORE = 3
BASE, SLOT, HEAD = range(STORE)
ROWS = STORES + 2 * STORE  # the record of `flash`
EXTRA = ROWS + RECORD


@njit
def query_of(extra, rank):
    return min(max(rank - integer(extra, LEAD), 0), integer(extra, QUERIES) - 1)


@njit
def visible(extra, rank):
    """Keys that a slot's query reads."""
    if integer(extra, COUNTS):
        return integer(integer(extra, COUNTS), query_of(extra, rank))
    return min(max(rank + integer(extra, NEWEST) + 1, 1), integer(extra, CAPACITY))


@njit
def listed(extra, field, rank):
    """The address of a query's places or keys; 0 where they are 0, 1, 2 …"""
    if integer(extra, field) == 0:
        return 0
    return integer(extra, field) + 8 * query_of(extra, rank) * integer(extra, LISTED)


@njit
def store_of(extra, which):
    """Where keys (0) or values (1) are, and what their rows are like."""
    return extra + 8 * (STORES + STORE * which), extra + 8 * (ROWS + VALUE_ROW * which)


@njit
def head_bytes(extra, which):
    return integer(store_of(extra, which)[0], HEAD)


@njit
def keep(like, extra, which, slot, rank, x):
    """Put this site's key (0) or value (1) in its place; the address of the slot's store."""
    held, rows = store_of(extra, which)
    base = integer(held, BASE) + slot * integer(held, SLOT)
    place, width = rank + integer(extra, NEWEST), integer(rows, KEY_WIDTH)
    if place >= 0 and integer(extra, PLACE):
        found = place < integer(extra, PLACED)
        place = integer(integer(extra, PLACE), place) if found else -1
    if place >= 0:
        for head in range(integer(extra, HEADS)):
            row = base + head * integer(held, HEAD) + place * integer(rows, KEY_ROW)
            move(like, x, head * width, row, 0, width)
    return base


@njit
def vectors(count):
    return (count + LANES - 1) // LANES


@njit
def row_of(like, x, width, scratch):
    """`width` numbers as whole vectors: where they are, or in scratch, zeros behind them."""
    if width % LANES == 0:
        return x
    for i in range(width):
        store(like, scratch, i, load(like, x, i))
    for i in range(width, vectors(width) * LANES):
        store(like, scratch, i, like - like)
    return scratch


@njit
def score(like, kernel, extra, head, rank, q, keys, out, scratch):
    """A head's products with the keys that its query reads."""
    rows = extra + 8 * ROWS
    width = integer(rows, KEY_WIDTH)
    call_kernel(
        kernel, DOTS, row_of(like, q + head * width * bytes_of(like), width, scratch),
        keys + head * head_bytes(extra, 0), integer(rows, KEY_ROW), vectors(width),
        vectors(visible(extra, rank)), out, listed(extra, PLACES, rank), integer(rows, SCALE), 0, 0,
    )  # fmt: skip


@njit
def mix(like, kernel, extra, head, rank, weights, values, out, scratch):
    """A head's values under weights; as many numbers as a value has."""
    rows = extra + 8 * ROWS
    width = integer(rows, KEY_WIDTH)
    call_kernel(
        kernel, WEIGHTED, weights, values + head * head_bytes(extra, 0), integer(rows, KEY_ROW),
        visible(extra, rank), vectors(width), scratch, listed(extra, PLACES, rank), 0, 0, 0,
    )  # fmt: skip
    move(like, scratch, 0, out, head * width, width)


@njit
def mask_of(extra, head, slot, rank):
    """The address of a head's mask; 0 where there is none."""
    if integer(extra, MASK) == 0:
        return 0
    found = integer(extra, MASK) + slot * integer(extra, MASK_SLOT)
    found += max(rank - integer(extra, LEAD), 0) * integer(extra, MASK_QUERY)
    return found + head * integer(extra, MASK_HEAD)


@njit
def attend(like, kernel, extra, slot, rank, q, k, v, out, scratch):
    """Keep this site's key and value; out [heads, value width] for query q [heads, width]."""
    keys, values = keep(like, extra, 0, slot, rank, k), keep(like, extra, 1, slot, rank, v)
    rows, size = extra + 8 * ROWS, bytes_of(like)
    width, value_width = integer(rows, KEY_WIDTH), integer(rows, VALUE_WIDTH)
    found = scratch + vectors(width) * LANES * size  # behind the query
    count, places = visible(extra, rank), listed(extra, PLACES, rank)
    for head in range(integer(extra, HEADS)):
        call_kernel(
            kernel, FLASH, rows, row_of(like, q + head * width * size, width, scratch),
            keys + head * head_bytes(extra, 0), values + head * head_bytes(extra, 1),
            count, places, mask_of(extra, head, slot, rank), listed(extra, KEYS, rank), found, 0,
        )  # fmt: skip
        move(like, found, 0, out, head * value_width, value_width)
