"""Runs a table of operations: many sites of all running slots in one call, without Python.

See `fields` for the table.
"""

from __future__ import annotations

from numba import njit

from ancestral.runtimes.native import fields as f
from ancestral.runtimes.native.code.addresses import address
from ancestral.runtimes.native.code.cache import compiled
from ancestral.runtimes.native.code.lanes import call_kernel
from ancestral.runtimes.native.code.memory import integer, put
from ancestral.runtimes.native.code.values import draw


@njit
def advance(stand, ranks, phases, lengths, clocks, by_row):
    """One site further."""
    for slot in range(integer(stand, f.N)):
        put(ranks, slot, integer(ranks, slot) + 1)
    end_of_row = False
    if integer(stand, f.GRID):
        column = integer(stand, f.AT_COLUMN) + 1
        end_of_row = column == integer(stand, f.ALL_COLUMNS)
        put(stand, f.AT_COLUMN, 0 if end_of_row else column)
    for clock in range(clocks):
        if end_of_row or not integer(by_row, clock):
            phase = integer(phases, clock) + 1
            put(phases, clock, 0 if phase == integer(lengths, clock) else phase)


@compiled
def run(
    like, kernel, count, subs, tables, clocks, config, slots_data, chunk,
):  # fmt: skip
    """`count` sites of all running slots: `chunk` is filled with values and their nats.

    Operations starts[0] … starts[1] are a row's, starts[1 + s] … starts[2 + s] those of sub-step
    s.
    """
    (
        ops, starts, ends, links, segs, scratch, stand, ranks, phases, lengths, by_row, operations,
    ) = tables  # fmt: skip
    put(stand, f.WANTED, count)
    for site in range(count):
        put(stand, f.DONE, site)
        if integer(stand, f.GRID) and integer(stand, f.AT_COLUMN) == 0:
            call_kernel(
                operations, kernel, ops, integer(starts, 0), integer(starts, 1), links, segs,
                scratch, stand, ranks, phases, lengths,
            )  # fmt: skip
        for sub in range(subs + 1):
            call_kernel(
                operations, kernel, ops, integer(starts, 1 + sub), integer(starts, 2 + sub), links,
                segs, scratch, stand, ranks, phases, lengths,
            )  # fmt: skip
            if sub < subs:
                draw(
                    like, kernel, sub, site, subs, ends, stand, ranks, phases, lengths, config,
                    slots_data, chunk,
                )  # fmt: skip
        advance(stand, ranks, phases, lengths, clocks, by_row)


@compiled
def run_part(kernel, first, last, tables):
    """Operations first … last-1 for all running slots, at their present site."""
    ops, _, _, links, segs, scratch, stand, ranks, phases, lengths, _, operations = tables
    call_kernel(
        operations, kernel, ops, first, last, links, segs, scratch, stand, ranks, phases, lengths
    )


@compiled
def run_end(tables, clocks):
    """One site further."""
    _, _, _, _, _, _, stand, ranks, phases, lengths, by_row, _ = tables
    advance(stand, ranks, phases, lengths, clocks, by_row)


@compiled
def located(tables, end, slot):
    """The address of a slot's params (`end` 0) or codes (1)."""
    _, _, ends, _, _, _, stand, ranks, phases, lengths, _, _ = tables
    return address(ends + 8 * f.FIELDS * end, f.OUT, slot, stand, ranks, phases, lengths)
