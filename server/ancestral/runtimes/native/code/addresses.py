"""Where an operand lies; see `fields`."""

from __future__ import annotations

from numba import njit

from ancestral.runtimes.native import fields as f
from ancestral.runtimes.native.code.memory import integer


@njit
def address(op, at, slot, stand, ranks, phases, lengths):
    """The address of the operand at field `at`, of one slot."""
    found = (
        integer(op, at)
        + slot * integer(op, at + f.SLOT)
        + integer(stand, f.AT_COLUMN) * integer(op, at + f.COLUMN)
    )
    mode = integer(op, at + f.MODE)
    if mode == f.PLAIN:
        return found
    if mode == f.BY_RANK:
        return found + max(integer(ranks, slot) - integer(op, at + f.LAG), 0) * integer(
            op, at + f.PLACE
        )
    if mode == f.BY_ROW:
        row = integer(ranks, slot) // integer(stand, f.ALL_COLUMNS) - integer(op, at + f.LAG)
        return found + max(row, 0) * integer(op, at + f.PLACE)
    clock = integer(op, at + f.PHASE)
    place = integer(phases, clock) - integer(op, at + f.LAG)
    if mode == f.WRAP:
        ahead = integer(stand, f.AT_COLUMN) + integer(op, at + f.AUX)
        rows = ahead // integer(stand, f.ALL_COLUMNS)
        place += rows
        ahead -= rows * integer(stand, f.ALL_COLUMNS)
        found += (ahead - integer(stand, f.AT_COLUMN)) * integer(op, at + f.COLUMN)
    if place < 0:
        place += integer(lengths, clock)
    elif place >= integer(lengths, clock):
        place -= integer(lengths, clock)
    return found + place * integer(op, at + f.PLACE)


@njit
def columns_of(op, stand):
    """Columns, or rows of a part, that an operation computes; 0 where it computes one site."""
    columns = integer(op, f.COLUMNS)
    return integer(stand, f.ROWS) if columns == f.AS_MANY else columns
