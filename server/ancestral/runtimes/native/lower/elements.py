"""An element program's parts as operations over rows: gather, compute, scatter.

The rules of `kinds` see a part as they see a step of a row: its operands gathered into registers,
one column for each of the rows that are due. How many are due is known when they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np

from ancestral.compile.elements import ElementProgram, ElementStep, Rows, Weight
from ancestral.compile.place import Ints
from ancestral.compile.program import StepProgram
from ancestral.compile.step import Step
from ancestral.runtimes.native import fields as f
from ancestral.runtimes.native.code.lanes import LANES
from ancestral.runtimes.native.lower.errors import Unsupported
from ancestral.runtimes.native.lower.lowering import Lowering
from ancestral.runtimes.native.lower.plan import Part, Plan
from ancestral.runtimes.native.lower.weights import Weights
from ancestral.runtimes.native.storage import NOWHERE, Operand, padded


class ElementLowering(Lowering):
    """Builds the tables of an element program, over room for one slot."""

    def __init__(self, program: ElementProgram, weights: Weights) -> None:
        self.elements = program
        nothing = Plan((), {}, {}, {}, {})
        super().__init__(cast(StepProgram, program), nothing, weights, 1, {}, {}, None)
        self._most_rows = 1
        self.rows: Ints | None = None  # the part's rows
        self._result: Operand | None = None

    def build(self, lower: Callable[[Lowering, Part], None]) -> None:
        """Lower every part; `due_starts` and `due` say what each time computes.

        An entry is the first and last operation, the first row and how many rows.
        """
        due: list[list[list[int]]] = [[] for _ in self.elements.codes]
        for step in self.elements.steps:
            for part in step.parts:
                first = len(self.operations)
                self._lower(lower, step, part.columns, part.rows, np.diff(part.ends, prepend=0))
                row = 0
                for time, end in zip(part.times.tolist(), part.ends.tolist(), strict=True):
                    due[time].append([first, len(self.operations), row, end - row])
                    row = end
        entries = [entry for at_time in due for entry in at_time]
        self.due = np.array(entries, dtype=np.int64).reshape(-1, 4)
        counts = [0, *(len(at_time) for at_time in due)]
        self.due_starts = np.cumsum(np.array(counts, dtype=np.int64))
        self._most_rows = 1
        width = int(np.prod(self.elements.params_shape))
        self.ends = [
            self._operation(0, out=self.temporary(size)) for size in (width, self.elements.channels)
        ]

    def _lower(
        self, lower: Callable[[Lowering, Part], None], step: ElementStep, columns: Ints | None,
        rows: Ints, counts: Ints,
    ) -> None:  # fmt: skip
        self._step, self.rows = cast(Step, step), rows
        self._most_rows = int(counts.max())
        self._result = None
        lower(self, Part(cast(Step, step), 0, columns))
        assert self._result is not None
        within = np.arange(step.payload) if columns is None else columns
        base = self.indices(step.start + step.rows[rows] * step.payload)
        extra = [base, 1, self.indices(within), within.size, _upwards(within)]
        self.emit(f.SCATTER_ROWS, NOWHERE, self._result, extra=self.indices(np.array(extra)))
        self._release(-1)

    # ------------------------------------------------------------------ what the rules call

    def columns(self) -> int:
        return self._most_rows

    def _operation(
        self, kind: int, out: Operand, x: Operand = NOWHERE, y: Operand = NOWHERE,
        z: Operand = NOWHERE,
    ) -> list[int]:  # fmt: skip
        operation = super()._operation(kind, out, x, y, z)
        operation[f.COLUMNS] = f.AS_MANY
        return operation

    def apply(self, name: str, out: Operand, *operands: Operand, count: int) -> None:
        super().apply(name, out, *operands, count=count)
        row = padded(count)
        dense = all(o.column == row * self.size for o in (out, *operands))
        self.operations[-1][f.DENSE] = row if dense else 0

    def place(self, step: Step) -> Operand:
        if self._result is None:
            self._result = self.temporary(step.payload)
        return self._result

    def scattered(self, part: Part) -> Operand:
        size = part.step.payload if part.elements is None else part.elements.size
        self._result = self.temporary(size)
        return self._result

    def settle(self, part: Part, found: Operand) -> None:
        """The rows are scattered once the rule is through."""

    def runs(
        self, read: Any, step: Step, elements: Ints | None = None
    ) -> list[tuple[Operand, int]]:
        """An operand's rows, gathered."""
        assert isinstance(read, Rows)
        assert self.rows is not None
        base, off = read.base[self.rows], read.off
        if elements is not None:
            if base.shape[1] == 1 or off.size > 1:
                off = off[elements]
            else:
                base = base[:, elements]
        if base.shape[1] == 1 and (runs := _equal_runs(off)) > 1:  # parts that stand side by side
            width = off.size // runs
            base, off = base + off[::width], np.arange(width)
        size, width = base.shape[1], off.size
        held = self.temporary(size * width)
        extra = [self.indices(base), size, self.indices(off), width, _upwards(off)]
        self.emit(f.GATHER_ROWS, held, extra=self.indices(np.array(extra)))
        return [(held, size * width)]

    def operand(self, given: Any, step: Step, elements: Ints | None, count: int) -> Operand:
        if isinstance(given, Rows):
            return self.runs(given, step, elements)[0][0]
        if isinstance(given, Weight):
            raise Unsupported("a constant as an operand")
        return super().operand(given, step, elements, count)


def _upwards(index: Ints) -> int:
    """1 where each is the one after the last."""
    return int((np.diff(index) == 1).all())


def _equal_runs(index: Ints) -> int:
    """How many runs of one length, each counting upwards, an index consists of; 1 where not."""
    breaks = np.flatnonzero(np.diff(index) != 1) + 1
    runs = breaks.size + 1
    if index.size % runs or index.size // runs < LANES // 2:
        return 1
    return runs if (breaks == np.arange(1, runs) * (index.size // runs)).all() else 1
