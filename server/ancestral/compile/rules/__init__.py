"""One rule per ATen operator: how its result is placed and which step computes it.

A rule is called with the tracer and the operator's own arguments, values as `View`s and constants
as `Fixed`, and returns the result's `View`. `tracer.RULES` is the open table they register in.
"""

from ancestral.compile.rules import (
    attention,
    local,
    movement,
    pointwise,
    product,
    recurrence,
    selection,
)

__all__ = ["attention", "local", "movement", "pointwise", "product", "recurrence", "selection"]
