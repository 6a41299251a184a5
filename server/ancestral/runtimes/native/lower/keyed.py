"""Steps between scores and values: elementwise functions and softmax over the keys of a query."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np

from ancestral.compile.place import Ints, Table
from ancestral.compile.step import Read, Step
from ancestral.runtimes.native import fields as f
from ancestral.runtimes.native.code.pointwise import CODES
from ancestral.runtimes.native.lower import elementwise
from ancestral.runtimes.native.lower.attend import keys_of, listed_keys
from ancestral.runtimes.native.lower.errors import Unsupported
from ancestral.runtimes.native.lower.lowering import Lowering
from ancestral.runtimes.native.lower.plan import Part
from ancestral.runtimes.native.storage import Operand


class OverKeys:
    """What the rules of `elementwise` call, each run as long as a query has keys."""

    def __init__(self, low: Lowering, step: Step) -> None:
        assert low.keys is not None
        self.low, self.step = low, step
        self.plan, self.dtype = low.plan, low.dtype
        self._wide = low.most_keys(step)
        self._heads = step.payload
        extra = keys_of(low, step, _first(low, step))
        self._sparse = low.keys.places(step) is not None
        self.extra = low.indices(np.array([self._heads, *extra[1:]]))

    def operand(self, given: Any, step: Step, elements: Ints | None, count: int) -> Operand:
        low = self.low
        if isinstance(given, Read):
            source = low.steps[given.source]
            heads = np.arange(self._heads)
            if not source.keyed or not (given.pmap is None or np.array_equal(given.pmap, heads)):
                raise Unsupported("scores of other heads, or a value that is not over keys")
            return low.keyed(source)
        if isinstance(given, Table) and "key" in given.axes:
            found = low.over_keys(given, step)
            return listed_keys(low, step, found, self.extra, self._wide) if self._sparse else found
        if isinstance(given, (bool, int, float)):
            return self.number(float(given), count)
        raise Unsupported(f"an operand {type(given).__name__} beside scores")

    def number(self, value: float, count: int) -> Operand:
        return self.low.number(value, self._wide)

    def temporary(self, count: int) -> Operand:
        held = self.low.temporary(self._heads * self._wide)
        return replace(held, aux=self._wide * self.low.size)

    def scattered(self, part: Part) -> Operand:
        return self.low.keyed(part.step)

    def settle(self, part: Part, found: Operand) -> None:
        """Keyed results are whole."""

    def apply(self, name: str, out: Operand, *operands: Operand, count: int) -> None:
        self.low.emit(f.KEYED, out, *operands, code=CODES[name], extra=self.extra)


def _first(low: Lowering, step: Step) -> Step:
    """An attention step whose keys a keyed step is about."""
    while step.kind != "scores":
        step = next(
            low.steps[o.source]
            for o in step.operands
            if isinstance(o, Read) and low.steps[o.source].keyed
        )
    return step


def pointwise(low: Lowering, part: Part) -> None:
    """An elementwise operator over the keys of each head."""
    elementwise.pointwise(cast(Lowering, OverKeys(low, part.step)), part)


def softmax(low: Lowering, part: Part) -> None:
    over = OverKeys(low, part.step)
    x = over.operand(part.step.operands[0], part.step, None, 0)
    low.emit(f.SOFTMAX_KEYS, over.scattered(part), x, extra=over.extra)
