"""Runs an element program: what is due at each time, then the draw; see `runtimes.elements`."""

from __future__ import annotations

from numba import njit

from ancestral.runtimes.native import fields as f
from ancestral.runtimes.native.code.addresses import address
from ancestral.runtimes.native.code.cache import compiled
from ancestral.runtimes.native.code.draw import VECTORS
from ancestral.runtimes.native.code.lanes import bytes_of, call_kernel
from ancestral.runtimes.native.code.memory import integer, put
from ancestral.runtimes.native.code.movement import gather, scatter
from ancestral.runtimes.native.code.values import draw


@njit
def run_due(kernel, time, due, tables):
    """What is due at a time: rows ROW … of the parts' operations, for the slots at hand."""
    ops, _, _, links, segs, scratch, stand, ranks, phases, lengths, _, operations = tables
    starts, entries = due
    n = integer(stand, f.N)
    put(stand, f.SLOTS, n)
    put(stand, f.N, 1)
    for i in range(integer(starts, time), integer(starts, time + 1)):
        entry = entries + 8 * 4 * i
        put(stand, f.ROW, integer(entry, 2))
        put(stand, f.EACH, integer(entry, 3))
        put(stand, f.ROWS, n * integer(entry, 3))
        call_kernel(
            operations, kernel, ops, integer(entry, 0), integer(entry, 1), links, segs, scratch,
            stand, ranks, phases, lengths,
        )  # fmt: skip
    put(stand, f.N, n)


@compiled
def run_time(kernel, time, due, tables):
    """The same, for those who draw elsewhere."""
    run_due(kernel, time, due, tables)


@compiled
def run_elements(like, kernel, count, subs, tables, due, where, sizes, config, slots_data, chunk):
    """`count` sites of an element program; see `elements`."""
    _, _, ends, _, _, _, stand, ranks, phases, lengths, _, _ = tables
    arena, params, codes = where
    width, dims = sizes
    n, stride = integer(stand, f.N), integer(stand, f.ARENA_SLOT)
    one_by_one = subs > 1 and config[VECTORS] > 1
    for site in range(count):
        for sub in range(subs):
            together = True
            for slot in range(1, n):
                together = together and integer(ranks, slot) == integer(ranks, 0)
            for first in range(1 if together else n):
                put(stand, f.N, n if together else 1)
                put(stand, f.ARENA, arena + first * stride)
                run_due(kernel, integer(ranks, first) * subs + sub, due, tables)
            put(stand, f.N, n)
            for slot in range(n):
                found = address(ends, f.OUT, slot, stand, ranks, phases, lengths)
                at = params + 8 * width * integer(ranks, slot)
                gather(like, arena + slot * stride, found, width, at)
            draw(
                like, kernel, sub, site, subs, ends, stand, ranks, phases, lengths, config,
                slots_data, chunk,
            )  # fmt: skip
            for slot in range(n):
                drawn = address(ends + 8 * f.FIELDS, f.OUT, slot, stand, ranks, phases, lengths)
                if one_by_one:
                    drawn += sub * bytes_of(like)
                at = codes + 8 * dims * (integer(ranks, slot) * subs + sub)
                scatter(like, drawn, arena + slot * stride, dims, at)
        for slot in range(n):
            put(ranks, slot, integer(ranks, slot) + 1)
