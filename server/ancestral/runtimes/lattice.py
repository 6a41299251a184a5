"""Execute a step program over image grids and time: one site for all slots at a time.

Slots share the column and the rings' write positions, so that reading a tap is a view, not a
gather; rows, ranks and everything looked up by them differ from slot to slot.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ancestral.compile.place import Fixed, Ints, Table
from ancestral.compile.program import StepProgram
from ancestral.compile.step import ATTENTION, Absent, Read, Step
from ancestral.runtimes.attention import attention_kernel
from ancestral.runtimes.cached import CachedBatch
from ancestral.runtimes.fetch import Fetch, fetch, lookup
from ancestral.runtimes.kernels import Kernel, kernel

Draw = Callable[[int, Tensor], Tensor]


class Lattice(CachedBatch):
    """A program's steps as functions, in the order in which a site runs them."""

    def __init__(
        self,
        program: StepProgram,
        slots: int,
        dtype: torch.dtype,
        device: torch.device,
        codes: torch.dtype,
    ) -> None:
        super().__init__(program, slots, dtype, device, codes)
        weights = self.graph.constants
        self._row_plan = [self._plan(s, weights, None) for s in program.row_steps]
        self._site_plan: list[list[Callable[[], None]]] = []
        for sub in range(program.subs + 1):
            plans = []
            for step in program.site_steps:
                elements = np.flatnonzero(step.sub == sub)
                if elements.size and step.kind != "codes":
                    whole = elements.size == step.payload
                    plans.append(self._plan(step, weights, None if whole else elements))
            self._site_plan.append(plans)
        self._params = fetch(self.caches, program.params, self._params_step())
        self._write_codes = self._codes_writer()

    def step(self, draw: Draw) -> None:
        """One site of every running slot; `draw(sub, params)` returns the values [n, dims]."""
        stand = self.stand
        self.caches.regs.clear()
        if stand.grid and stand.column == 0:
            for run in self._row_plan:
                run()
        vectors, size = self.program.params_shape
        codes = None
        for sub in range(self.program.subs):
            for run in self._site_plan[sub]:
                run()
            values = draw(sub, self._params(stand).reshape(stand.n, vectors, size))
            codes = values if codes is None else torch.cat([codes, values], 1)
            self._write_codes(codes)
        for run in self._site_plan[self.program.subs]:
            run()
        stand.advance()

    # ------------------------------------------------------------------ plans

    def _plan(self, step: Step, weights: Any, elements: Ints | None) -> Callable[[], None]:
        """The step as a function: fetch, compute, keep."""
        if step.kind in ATTENTION or step.kind == "softmax-keys":
            compute = attention_kernel(self.caches, step)
        else:
            compute = self._arithmetic(step, weights, elements)
        name, regs, stand = step.name, self.caches.regs, self.stand
        keep = self._keeper(step)
        low, high = step.lead[1], step.lead[1] + step.extent[1]
        guarded = (
            step.space == "grid"
            and step.phase == "site"
            and (low > 0 or high < self.program.columns)
        )
        if elements is None:

            def run() -> None:
                regs[name] = compute(stand)

            def run_kept() -> None:
                if guarded and not low <= stand.column < high:
                    return
                regs[name] = value = compute(stand)
                if keep is not None:
                    keep(value)

            return run_kept if guarded or keep is not None else run
        index = torch.from_numpy(elements).to(self.caches.device)

        def run_part() -> None:
            value = compute(stand)
            whole = regs.get(name)
            if whole is None:
                whole = regs[name] = value.new_zeros((stand.n, step.payload))
            whole[:, index] = value
            if keep is not None:
                keep(whole)

        return run_part

    def _arithmetic(self, step: Step, weights: Any, elements: Ints | None) -> Fetch:
        narrow = elements if step.kind in ("pointwise", "copy") else None
        operands: list[Any] = []
        given = step.operands
        if step.kind == "cat" and elements is not None:
            given = self._wanted(step, elements)
        for operand in given:
            if isinstance(operand, Read):
                operands.append(fetch(self.caches, operand, step, narrow))
            elif isinstance(operand, Table):
                operands.append(lookup(self.caches, operand, step, narrow))
            elif isinstance(operand, Absent):
                zeros = torch.zeros(
                    operand.size, dtype=self.caches.dtype, device=self.caches.device
                )
                operands.append(lambda at, zeros=zeros: zeros)
            elif not isinstance(operand, Fixed):
                operands.append(_number(operand, self.caches.dtype))
        if step.kind in ("embedding", "one-hot") and elements is not None:
            blocks = np.unique(elements // step.attrs["width"])
            picked = torch.from_numpy(blocks).to(self.caches.device)
            first = operands[0]
            operands = [lambda at: first(at).index_select(-1, picked)]
        return _applied(kernel(step, weights, self.caches.dtype, elements), operands)

    def _wanted(self, step: Step, elements: Ints) -> tuple[Any, ...]:
        """A join's operands; those that none of the elements come from need not exist yet."""
        places, start, wanted = step.attrs["order"][elements], 0, []
        for operand in step.operands:
            if isinstance(operand, Read):
                pmap = operand.pmap
                size = self.caches.sources[operand.source].payload if pmap is None else pmap.size
            else:
                size = operand.size if isinstance(operand, Absent) else operand.index.size
            here = bool(((places >= start) & (places < start + size)).any())
            wanted.append(operand if here else Absent(size))
            start += size
        return tuple(wanted)

    def _keeper(self, step: Step) -> Callable[[Tensor], None] | None:
        if step.ring is None:
            return None
        stand = self.stand
        ring, length, left = self.caches.rings[step.name], step.ring.length, step.ring.left
        first_row, lead = step.lead
        in_row = step.phase == "row"
        seen: dict[int, Tensor] = self.caches.memo()
        columns = self.program.columns
        if step.space == "flat":

            def keep_flat(value: Tensor) -> None:
                at = stand.clock % length
                place = seen.get(at)
                if place is None:
                    place = seen[at] = ring[: stand.n, at]
                place.copy_(value)
                if lead > 0:
                    self._refill(step, place, [r < lead for r in stand.ranks[: stand.n]])

            return keep_flat
        of_row = slice(left, left + step.extent[1])

        def keep(value: Tensor) -> None:
            row = stand.row_clock % length
            at = row * columns + (0 if in_row else stand.column)
            place = seen.get(at)
            if place is None:
                where = of_row if in_row else left + stand.column - lead
                place = seen[at] = ring[: stand.n, row, where]
            place.copy_(value)
            if first_row > 0:
                early = [r // columns < first_row for r in stand.ranks[: stand.n]]
                self._refill(step, place, early)

        return keep

    def _refill(self, step: Step, place: Tensor, outside: list[bool]) -> None:
        """Put the fill where a slot has not yet reached the value's first element."""
        for at, is_outside in enumerate(outside):
            if is_outside:
                place[at] = self.caches.tables.fill(step.fill, at)

    def _codes_writer(self) -> Callable[[Tensor], None]:
        step, stand = self.program.steps[0], self.stand
        ring, length = self.caches.rings[step.name], self.caches.rings[step.name].shape[1]
        assert step.ring is not None
        left = step.ring.left
        if step.space == "flat":

            def write_flat(codes: Tensor) -> None:
                ring[: stand.n, stand.clock % length, : codes.shape[1]] = codes

            return write_flat

        def write(codes: Tensor) -> None:
            ring[: stand.n, stand.row_clock % length, left + stand.column, : codes.shape[1]] = codes

        return write

    def _params_step(self) -> Step:
        last = self.caches.sources[self.program.params.source]
        return Step("params", "params", "", "", {}, (), 0, last.space, last.extent, "site", (0, 0),
                    np.zeros(0, dtype=np.int64), None, 0.0)  # fmt: skip


def _applied(function: Kernel, operands: list[Any]) -> Fetch:
    """The kernel on fetched operands; spelled out by arity, for this is the innermost loop."""
    if all(callable(o) for o in operands):
        if len(operands) == 1:
            (one,) = operands
            return lambda at: function(one(at))
        if len(operands) == 2:
            left, right = operands
            return lambda at: function(left(at), right(at))
    return lambda at: function(*(o(at) if callable(o) else o for o in operands))


def _number(value: Any, dtype: torch.dtype) -> Any:
    return dtype if isinstance(value, torch.dtype) and value.is_floating_point else value
