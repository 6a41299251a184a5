"""A step program as a table of operations over memory; see `fields` for the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ancestral.compile.place import Table
from ancestral.compile.program import StepProgram
from ancestral.compile.step import Step
from ancestral.runtimes.keys import KeyCaches
from ancestral.runtimes.native import fields as f
from ancestral.runtimes.native.lower.errors import Unsupported
from ancestral.runtimes.native.lower.operands import Operands
from ancestral.runtimes.native.lower.plan import Part, Plan
from ancestral.runtimes.native.lower.rings import RingStore
from ancestral.runtimes.native.lower.weights import Weights
from ancestral.runtimes.native.storage import Array, Operand


class Lowering(Operands):
    """Builds the tables for a number of slots; the rules, those of `kinds`, call its methods."""

    def __init__(
        self,
        program: StepProgram,
        plan: Plan,
        weights: Weights,
        slots: int,
        rings: Mapping[str, RingStore],
        tables: Mapping[int, Array],
        keys: KeyCaches | None,
    ) -> None:
        super().__init__(program, plan, weights, slots, rings, tables, keys)

    def build(self, lower: Callable[[Lowering, Part], None]) -> None:
        """Lower every part; afterwards `operations`, `starts`, `ends` and `links` are the tables.

        Raises Unsupported naming the step that has no rule.
        """
        if self.keys is not None:
            for step in self.program.steps:
                if step.keyed:
                    self.lengths[step.name] = step.payload * self.most_keys(step)
        subs = self.program.subs
        self.starts = [0] * (subs + 3)
        for at, part in enumerate(self.plan.parts):
            self._step = part.step
            first = len(self.operations)
            lower(self, part)
            self._guard(part.step, first)
            self._refill(part)
            self._release(at)
            for later in range(part.sub + 2, subs + 3):
                self.starts[later] = len(self.operations)
        params = self._params()
        codes = self.rings[self.program.steps[0].name].operand()
        self.ends = [self._operation(0, out=params), self._operation(0, out=codes)]

    def _params(self) -> Operand:
        read = self.program.params
        step = self.steps[read.source]
        self._step = step
        ((operand, _),) = self.segments(read, step)
        if operand is None:
            raise Unsupported("params that are gathered")
        return operand

    def _guard(self, step: Step, first: int) -> None:
        """Nothing is computed at columns outside a value's extent."""
        if step.space != "grid" or step.phase == "row":
            return
        low, high = step.lead[1], step.lead[1] + step.extent[1]
        for operation in self.operations[first:]:
            operation[f.LOW], operation[f.HIGH] = low, high

    def _refill(self, part: Part) -> None:
        """Put the fill where a slot has not yet reached the value's first element."""
        step = part.step
        flat = step.space == "flat"
        lead = step.lead[1] if flat else step.lead[0]
        if step.ring is None or lead <= 0:
            return
        fill = self.fill(step)
        first = len(self.operations)
        self.emit(
            f.REFILL, self.place(step), fill, code=0 if flat else 1, count=step.payload, extra=lead
        )
        self._guard(step, first)

    def fill(self, step: Step) -> Operand:
        """What stands outside a value's extent."""
        if isinstance(step.fill, Table):
            return self.table(step.fill, step, None)
        return self.number(float(step.fill), step.payload)

    def scattered(self, part: Part) -> Operand:
        """Where a part's elements are to be written: their place, or room until `settle`."""
        if part.elements is None:
            return self.place(part.step)
        return self.temporary(part.elements.size)

    def settle(self, part: Part, found: Operand) -> None:
        """Put a part's elements where they belong."""
        if part.elements is not None:
            index = self.indices(part.elements)
            place = self.place(part.step)
            self.emit(f.SCATTER, place, found, count=part.elements.size, extra=index)
