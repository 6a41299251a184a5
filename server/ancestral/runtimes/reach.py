"""How far back a program over time looks: what windows of a long item must overlap by."""

from __future__ import annotations

from ancestral.compile import Program, StepProgram
from ancestral.compile.step import ATTENTION, Read
from ancestral.runtimes.tables import site_axes, tables_of


def reach(program: Program | None) -> int | None:
    """Sites before its own that a site's params read at most: the receptive field less one.

    None where there is no such number, or a site's params depend on where it stands: recurrences,
    attention over all keys, values that follow the time, data that are not a series.
    """
    if not isinstance(program, StepProgram) or program.space != "flat":
        return None
    if any("flat" in site_axes(table) for table in tables_of(program)):
        return None
    found: dict[str, int] = {}
    for step in program.steps:
        reads = [operand for operand in step.operands if isinstance(operand, Read)]
        if step.kind in ATTENTION or any(read.source not in found for read in reads):
            return None  # it reads what all keys, or its own past, have left
        found[step.name] = max((_back(read, found) for read in reads), default=0)
    return _back(program.params, found) + max(abs(step.lead[1]) for step in program.steps)


def _back(read: Read, found: dict[str, int]) -> int:
    return found[read.source] + max(lag for lag, _ in read.taps)
