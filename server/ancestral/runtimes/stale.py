"""Which elements of an arena are read before they are written.

Masked weights meet them: a product with zero is zero, but not of an infinity or NaN that an earlier
sequence left there. Everything else is written before it is read, and may hold what it likes.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np

from ancestral.compile.elements import ElementProgram, ElementStep, Rows
from ancestral.compile.elements.arena import Ints
from ancestral.compile.elements.program import Part

BY_ELEMENT = ("pointwise", "batch-norm", "running-sum")  # an element reads one of each operand
_NEVER = np.iinfo(np.int64).max
_KNOWN: WeakKeyDictionary[ElementProgram, Ints] = WeakKeyDictionary()


def read_first(program: ElementProgram) -> Ints:
    """Their addresses in ascending order; found once for a program."""
    if program not in _KNOWN:
        _KNOWN[program] = _read_first(program)
    return _KNOWN[program]


def _read_first(program: ElementProgram) -> Ints:
    written = np.full(program.size, -1, dtype=np.int64)  # when; −1: before anything is computed
    parts = [(step, part) for step in program.steps for part in step.parts]
    for step in program.steps:
        written[step.start : step.start + step.payload * len(step.rows)] = _NEVER
    for at, (step, part) in enumerate(parts):
        columns = np.arange(step.payload) if part.columns is None else part.columns
        rows = step.start + step.rows[part.rows] * step.payload
        written[rows[:, None] + columns] = _moments(part, at, len(parts))[:, None]
    found = np.zeros(program.size, dtype=np.bool_)
    for at, (step, part) in enumerate(parts):
        now = _moments(part, at, len(parts))[:, None]
        for operand in step.operands:
            if isinstance(operand, Rows):
                read = _addresses(operand, step, part)
                found[read[written[read] >= now]] = True
        for listed in ("keys", "values"):  # of attention, whatever its mask leaves of them
            if listed in step.attrs:
                read = np.asarray(step.attrs[listed]).ravel()
                found[read[written[read] >= 0]] = True
    return np.flatnonzero(found)


def _moments(part: Part, at: int, parts: int) -> Ints:
    """When each row of a part is computed: by time, then by the order of parts."""
    return np.repeat(part.times, np.diff(part.ends, prepend=0)) * parts + at


def _addresses(operand: Rows, step: ElementStep, part: Part) -> Ints:
    """What the rows of a part read, [rows, elements], at least."""
    whole = Rows(operand.base[part.rows], operand.off).addresses()
    narrow = step.kind in BY_ELEMENT and whole.shape[1] == step.payload
    return whole if part.columns is None or not narrow else whole[:, part.columns]
