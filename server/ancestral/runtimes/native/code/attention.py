"""Attention of one query per slot over the keys and values that its slot has kept.

Keys and values are stored [heads, places, width], rows of whole vectors. Dense, key j is at place
j; where a mask leaves few keys, a query has a list of the places that it reads. The sums of a slot
are over its own keys in ascending order: its bits are its own.
"""

from __future__ import annotations

from numba import njit

from ancestral.runtimes.native.code.blocks import DOTS, SOFTMAX, WEIGHTED
from ancestral.runtimes.native.code.lanes import LANES, bytes_of, call_kernel
from ancestral.runtimes.native.code.memory import integer, load, store
from ancestral.runtimes.native.code.pointwise import CODES, apply

# the extra of an operation over keys; a list of places is [queries, LISTED]
(HEADS, NEWEST, LEAD, CAPACITY, QUERIES, COUNTS, PLACES, KEYS, LISTED, PLACE, PLACED, SCALE, MASK,
 MASK_SLOT, MASK_QUERY, MASK_HEAD) = range(16)  # fmt: skip
STORES = 16  # where keys, then values, are: address, bytes from slot, head and place on, width
BASE, SLOT, HEAD, ROW, WIDTH = range(5)
STORE = 5
EXTRA = STORES + 2 * STORE
_ADD = CODES["add"]


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
def keep(like, extra, which, slot, rank, x):
    """Put this site's key (0) or value (1) in its place; the address of the slot's store."""
    held = extra + 8 * (STORES + STORE * which)
    base = integer(held, BASE) + slot * integer(held, SLOT)
    place, width = rank + integer(extra, NEWEST), integer(held, WIDTH)
    if place >= 0 and integer(extra, PLACE):
        found = place < integer(extra, PLACED)
        place = integer(integer(extra, PLACE), place) if found else -1
    if place >= 0:
        for head in range(integer(extra, HEADS)):
            row = base + head * integer(held, HEAD) + place * integer(held, ROW)
            for i in range(width):
                store(like, row, i, load(like, x, head * width + i))
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
def score(like, kernel, extra, head, rank, q, keys, scale, out, scratch):
    """A head's products with the keys that its query reads."""
    held = extra + 8 * STORES
    width = integer(held, WIDTH)
    call_kernel(
        kernel, DOTS, row_of(like, q + head * width * bytes_of(like), width, scratch),
        keys + head * integer(held, HEAD), integer(held, ROW), vectors(width),
        vectors(visible(extra, rank)), out, listed(extra, PLACES, rank), scale, 0, 0,
    )  # fmt: skip


@njit
def mix(like, kernel, extra, which, head, rank, weights, values, total, out, scratch):
    """A head's values under weights, over `total`; as many numbers as a value has."""
    held = extra + 8 * (STORES + STORE * which)
    width = integer(held, WIDTH)
    call_kernel(
        kernel, WEIGHTED, weights, values + head * integer(held, HEAD), integer(held, ROW),
        visible(extra, rank), vectors(width), scratch, listed(extra, PLACES, rank), 0, 0, 0,
    )  # fmt: skip
    for i in range(width):
        store(like, out, head * width + i, load(like, scratch, i) / total)


@njit
def masked(like, kernel, extra, head, slot, rank, scores):
    """Add a head's mask to its scores."""
    mask = integer(extra, MASK) + slot * integer(extra, MASK_SLOT)
    mask += max(rank - integer(extra, LEAD), 0) * integer(extra, MASK_QUERY)
    mask += head * integer(extra, MASK_HEAD)
    count, keys = visible(extra, rank), listed(extra, KEYS, rank)
    if keys:
        for j in range(count):
            store(like, scores, j, load(like, scores, j) + load(like, mask, integer(keys, j)))
    else:
        apply(like, kernel, _ADD, scores, mask, mask, scores, count)


@njit
def attend(like, kernel, extra, slot, rank, q, k, v, out, scratch):
    """Keep this site's key and value; out [heads, value width] for query q [heads, width]."""
    keys, values = keep(like, extra, 0, slot, rank, k), keep(like, extra, 1, slot, rank, v)
    wide = LANES * bytes_of(like)
    row = scratch + wide  # behind the sum
    widest = max(integer(extra, STORES + WIDTH), integer(extra, STORES + STORE + WIDTH))
    scores = row + vectors(widest) * wide
    for head in range(integer(extra, HEADS)):
        score(like, kernel, extra, head, rank, q, keys, integer(extra, SCALE), scores, row)
        if integer(extra, MASK):
            masked(like, kernel, extra, head, slot, rank, scores)
        call_kernel(
            kernel, SOFTMAX, scores, visible(extra, rank), scores, scratch, 0, 0, 0, 0, 0, 0
        )
        total = load(like, scratch, 0)
        mix(like, kernel, extra, 1, head, rank, scores, values, total, out, row)
