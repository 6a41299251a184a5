"""Which products are begun before their turn; see `code.ahead`."""

from __future__ import annotations

from collections.abc import Sequence

from ancestral.compile.step import Step
from ancestral.runtimes.native import fields as f
from ancestral.runtimes.native.storage import Operand

AT_ONCE = 8  # sites: the rows of the largest tile
MOST = 3  # slots: from four on the arithmetic of a product covers the reading


def known(step: Step, segments: Sequence[tuple[Operand, int]]) -> tuple[int, int]:
    """(first segments that are known ahead, for how many sites), by which most reading is saved.

    (0, 0) where nothing is: the first segment is of this site, or of the one before.
    """
    best, saved, inputs, sites = (0, 0), 0.0, 0, AT_ONCE
    for count, (operand, size) in enumerate(segments, 1):
        if operand.mode != f.RING or operand.column or operand.lag < 2:
            break
        sites, inputs = min(sites, operand.lag), inputs + size
        if inputs * (sites - 1) > saved * sites:
            best, saved = (count, sites), inputs * (sites - 1) / sites
    if best[0] and (step.space != "flat" or step.phase == "row"):
        return 0, 0
    return best
