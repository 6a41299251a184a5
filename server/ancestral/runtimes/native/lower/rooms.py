"""Room for results that are not cached, given out and taken back in the order of execution."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np

from ancestral.compile.program import StepProgram
from ancestral.compile.step import Step
from ancestral.runtimes.native.lower.plan import Plan
from ancestral.runtimes.native.lower.rings import RingStore
from ancestral.runtimes.native.storage import Array, Operand, padded, zeros


class Rooms:
    """Where results lie: in rings, in registers until their last use, in room for one step."""

    def __init__(
        self,
        program: StepProgram,
        plan: Plan,
        slots: int,
        dtype: np.dtype[Any],
        rings: Mapping[str, RingStore],
    ) -> None:
        self.plan, self.slots, self.rings = plan, slots, rings
        self.dtype, self.size = dtype, dtype.itemsize
        self.steps = {s.name: s for s in program.steps}
        self.lengths: dict[str, int] = {}  # of registers that are not as long as their payload
        self.memory: list[Array] = []
        self.rooms: list[Array] = []  # [slots, elements] each
        self._registers: dict[str, tuple[Operand, int]] = {}
        self._free: dict[int, list[int]] = defaultdict(list)
        self._temporary: list[tuple[int, int]] = []
        self._step = program.steps[0]

    def columns(self) -> int:
        """Columns of the row that the step at hand computes; 0 where it computes one site."""
        return self._step.extent[1] if self._step.phase == "row" else 0

    def temporary(self, count: int) -> Operand:
        """Room for a result that the step at hand alone needs."""
        operand, total = self._take(count)
        self._temporary.append((operand.base, total))
        return operand

    def _take(self, count: int) -> tuple[Operand, int]:
        width, columns = padded(count), max(self.columns(), 1)
        total = width * columns
        if self._free[total]:
            base = self._free[total].pop()
        else:
            self.rooms.append(zeros((self.slots, total), self.dtype))
            base = self.rooms[-1].ctypes.data
        column = width * self.size if self.columns() else 0
        return Operand(base, total * self.size, column), total

    def place(self, step: Step) -> Operand:
        """Where the result of a step belongs."""
        ring = self.rings.get(step.name)
        if ring is not None:
            if step.space == "flat" or step.phase == "row":
                return ring.operand()
            return ring.operand(0, -step.lead[1])
        if step.name not in self._registers:
            self._registers[step.name] = self._take(self.lengths.get(step.name, step.payload))
        return self._registers[step.name][0]

    def now(self, name: str) -> Operand:
        """This site's result of a step, seen through steps that are but another name."""
        first = 0
        while name in self.plan.alias:
            name, start = self.plan.alias[name]
            first += start
        return self.place(self.steps[name]).moved(first * self.size)

    def _release(self, at: int) -> None:
        for base, total in self._temporary:
            self._free[total].append(base)
        self._temporary.clear()
        for name in [n for n in self._registers if self.plan.last_use.get(n, math.inf) <= at]:
            operand, total = self._registers.pop(name)
            self._free[total].append(operand.base)
