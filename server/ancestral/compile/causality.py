"""The proof of causality: no params element is ready later than it is wanted."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ancestral.compile.dependencies import NEEDLESS, demands
from ancestral.compile.errors import CausalityError
from ancestral.compile.place import FUTURE, NEVER, Ints, Value, View, moved, split_key


def prove_causal(params: View, limit: Ints, where: Callable[[int], str]) -> None:
    """Raise CausalityError unless each params element is ready before its own `limit` key.

    The error carries the operators from the future input to the output that reads it; `where`
    names an element of the params.
    """
    late = np.flatnonzero(params.ready >= limit)
    if not late.size:
        return
    worst = int(late[np.argmax(params.ready[late] - limit[late])])
    reach = int(params.ready[worst])
    if reach >= FUTURE:
        summary = f"not causal: {where(worst)} reads all positions"
    else:
        row, col, sub = split_key(reach)
        offsets = {"grid": f"{row:+d} rows, {col:+d} columns", "flat": f"{col:+d} positions"}
        summary = f"not causal: {where(worst)} reads the input at "
        summary += offsets.get(params.space, f"site {sub}")
        if params.space == "grid" and sub:
            summary += f", channel {sub}"
    raise CausalityError(summary, _path(params.value, int(params.pmap[worst])))


def _path(value: Value, element: int) -> list[str]:
    """The operators from the input to an element, along the latest of what each one reads."""
    steps: list[str] = []
    while True:
        steps.append(f"{value.op or 'input'} {value.name}  {value.source}".rstrip())
        only = np.full(value.payload, NEEDLESS, dtype=np.int64)
        only[element] = 0
        latest, source = NEVER, None
        for take, tap, times in demands(value, only):
            if take.view.value is value:  # its own past lies before what its step reads
                continue
            reads = times != NEEDLESS
            keys = np.where(reads, moved(take.view.value.ready[take.pmap], *tap), NEVER)
            if keys.size and int(keys.max()) > latest:
                latest = int(keys.max())
                source = (take.view.value, int(take.pmap[int(keys.argmax())]))
        if source is None:
            return steps[::-1]
        value, element = source
