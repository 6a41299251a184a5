"""Execute a step program over image grids and time: caches, fetches, one site for all slots.

Slots lie densely at indices 0..n−1 of every cache and share the column and the rings' write
positions, so that reading a tap is a view, not a gather; rows, ranks and everything looked up by
them differ from slot to slot.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ancestral.compile.place import Fixed, Ints, Table
from ancestral.compile.program import Absent, Read, Step, StepProgram
from ancestral.runtimes.activations import activations
from ancestral.runtimes.attention import KeyCaches, attention_kernel
from ancestral.runtimes.fetch import Fetch, fetch, lookup
from ancestral.runtimes.kernels import Kernel, kernel
from ancestral.runtimes.tables import Tables

Draw = Callable[[int, Tensor], Tensor]


class Lattice:
    """The caches of a running batch, and the site at which it stands."""

    def __init__(
        self,
        program: StepProgram,
        slots: int,
        dtype: torch.dtype,
        device: torch.device,
        codes: torch.dtype,
    ) -> None:
        self.program = program
        self.dtype, self.device = dtype, device
        self.graph = program.graph.to(dtype, device).folded()
        self.slots = slots
        self.capacity = program.rows * program.columns if program.space == "grid" else 0
        self.n = 0  # slots running
        self.column = 0  # shared by all slots (grid)
        self.clock = 0  # sites since the start, shared
        self.row_clock = 0
        self.ranks: list[int] = [0] * slots
        self.uniform = True  # all running slots stand at one rank
        self.rank_index = torch.zeros(0, dtype=torch.int64)
        self.regs: dict[str, Tensor] = {}
        self._codes_dtype = codes
        self.sources = {s.name: s for s in program.steps}
        self.rings = {s.name: self._ring(s) for s in program.steps if s.ring}
        self.keys = KeyCaches(program, slots, dtype, device)
        self.tables = Tables(program, self.graph, slots, codes, device)
        self.tables.read_constants(max(self.capacity, 1))
        weights = self.graph.constants
        self._row_plan = [self._plan(s, weights, None) for s in program.row_steps]
        self._site_plan: list[list[Callable[[], None]]] = []
        for sub in range(program.subs + 1):
            plans = []
            for step in program.site_steps[0 if program.site_steps[0].kind != "codes" else 1 :]:
                elements = np.flatnonzero(step.sub == sub)
                if elements.size:
                    whole = elements.size == step.payload
                    plans.append(self._plan(step, weights, None if whole else elements))
            self._site_plan.append(plans)
        self._params = fetch(self, program.params, self._params_step())
        self._write_codes = self._codes_writer()

    # ------------------------------------------------------------------ the running batch

    def step(self, draw: Draw) -> None:
        """One site of every running slot; `draw(sub, params)` returns the values [n, dims]."""
        n = self.n
        self.regs.clear()
        if self.program.space == "grid" and self.column == 0:
            for run in self._row_plan:
                run()
        vectors, size = self.program.params_shape
        codes = None
        for sub in range(self.program.subs):
            for run in self._site_plan[sub]:
                run()
            values = draw(sub, self._params(self).reshape(n, vectors, size))
            codes = values if codes is None else torch.cat([codes, values], 1)
            self._write_codes(codes)
        for run in self._site_plan[self.program.subs]:
            run()
        self._advance()

    def _advance(self) -> None:
        self.clock += 1
        for i in range(self.n):
            self.ranks[i] += 1
        if not self.uniform:
            self.rank_index += 1
        if self.program.space == "grid":
            self.column += 1
            if self.column == self.program.columns:
                self.column = 0
                self.row_clock += 1

    def settle(self) -> None:
        """Note the running slots' ranks after slots came or went."""
        running = self.ranks[: self.n]
        self.uniform = len(set(running)) <= 1
        self.rank_index = torch.tensor(running, dtype=torch.int64, device=self.device)

    def aligned(self, rank: int) -> bool:
        """Whether a slot at this rank can join the batch now."""
        if self.program.space != "grid" or self.n == 0:
            return True
        return rank % self.program.columns == self.column

    def reserve(self, sites: int) -> None:
        """Make room for items of that many sites."""
        if sites > self.capacity:
            self.capacity = sites
            self.tables.read_constants(sites)
        self.keys.reserve(self.capacity)

    def open(
        self, conditions: tuple[Tensor, ...], values: Tensor | None, rank: int, sites: int
    ) -> int:
        """Put a new sequence at the end of the batch, its first `rank` sites known.

        `values` are codes of batch one in their natural shape, of which the first `rank` sites
        count; the caches are filled from one teacher-forced pass over them.
        """
        at, self.n = self.n, self.n + 1
        if at == 0:
            self.column = rank % self.program.columns
        self.ranks[at] = rank
        self.reserve(sites)
        self.tables.read_items(at, conditions, sites)
        for name, ring in self.rings.items():
            ring[at] = self.tables.fill(self.sources[name].fill, at)
        if values is not None:
            self._prefill(at, conditions, values, rank)
        return at

    def close(self, at: int) -> None:
        """Take a slot out of the batch; the last one moves into its place."""
        last = self.n - 1
        if at != last:
            for store in (*self.rings.values(), *self.keys.stores(), *self.tables.items.values()):
                store[at] = store[last]
            self.ranks[at] = self.ranks[last]
        self.n = last

    def slot_bytes(self, sites: int) -> int:
        rings = sum(r[0].nbytes for r in self.rings.values())
        items = sum(s[0].nbytes for s in self.tables.items.values())
        return rings + items + self.keys.slot_bytes(sites)

    # ------------------------------------------------------------------ stores

    def _ring(self, step: Step) -> Tensor:
        ring = step.ring
        assert ring is not None
        columns = ring.left + step.extent[1] + ring.right
        shape = (ring.length, columns) if step.space == "grid" else (ring.length,)
        dtype = self._codes_dtype if step.kind == "codes" else self.dtype
        return torch.zeros((self.slots, *shape, step.payload), dtype=dtype, device=self.device)

    def _prefill(self, at: int, conditions: tuple[Tensor, ...], values: Tensor, rank: int) -> None:
        found = activations(self.program, self.graph, values, conditions)
        for name, ring in self.rings.items():
            step, length = self.sources[name], ring.shape[1]
            source = found[name].to(ring.dtype)
            if step.space == "flat":
                for lag in range(1, length + 1):
                    index = rank - lag - step.lead[1]
                    if 0 <= index < source.shape[0]:
                        ring[at, (self.clock - lag) % length] = source[index]
                continue
            row = rank // self.program.columns
            assert step.ring is not None
            left = step.ring.left
            for lag in range(length):
                index = row - lag - step.lead[0]
                if 0 <= index < source.shape[0]:
                    place = ring[at, (self.row_clock - lag) % length]
                    place[left : left + source.shape[1]] = source[index]
        self.keys.prefill(at, found, rank)

    # ------------------------------------------------------------------ plans

    def _plan(self, step: Step, weights: Any, elements: Ints | None) -> Callable[[], None]:
        """The step as a function: fetch, compute, keep."""
        if step.kind in ("scores", "mix", "attend"):
            compute = attention_kernel(self, step)
        else:
            compute = self._arithmetic(step, weights, elements)
        name, regs = step.name, self.regs
        keep = self._keeper(step)
        low, high = step.lead[1], step.lead[1] + step.extent[1]
        guarded = (
            step.space == "grid"
            and step.phase == "site"
            and (low > 0 or high < self.program.columns)
        )
        if elements is None:

            def run() -> None:
                regs[name] = compute(self)

            def run_kept() -> None:
                if guarded and not low <= self.column < high:
                    return
                regs[name] = value = compute(self)
                if keep is not None:
                    keep(value)

            return run_kept if guarded or keep is not None else run
        index = torch.from_numpy(elements)

        def run_part() -> None:
            value = compute(self)
            whole = regs.get(name)
            if whole is None:
                whole = regs[name] = value.new_zeros((self.n, step.payload))
            whole[:, index] = value
            if keep is not None:
                keep(whole)

        return run_part

    def _arithmetic(self, step: Step, weights: Any, elements: Ints | None) -> Fetch:
        narrow = elements if step.kind in ("pointwise", "copy") else None
        operands: list[Any] = []
        for operand in step.operands:
            if isinstance(operand, Read):
                operands.append(fetch(self, operand, step, narrow))
            elif isinstance(operand, Table):
                operands.append(lookup(self, operand, step, narrow))
            elif isinstance(operand, Absent):
                zeros = torch.zeros(operand.size, dtype=self.dtype, device=self.device)
                operands.append(lambda at, zeros=zeros: zeros)
            elif not isinstance(operand, Fixed):
                operands.append(_number(operand, self.dtype))
        if step.kind in ("embedding", "one-hot") and elements is not None:
            blocks = np.unique(elements // step.attrs["width"])
            picked = torch.from_numpy(blocks)
            first = operands[0]
            operands = [lambda at: first(at).index_select(-1, picked)]
        return _applied(kernel(step, weights, self.dtype, elements), operands)

    def _keeper(self, step: Step) -> Callable[[Tensor], None] | None:
        if step.ring is None:
            return None
        ring, length, left = self.rings[step.name], step.ring.length, step.ring.left
        first_row, lead = step.lead
        if step.space == "flat":

            def keep_flat(value: Tensor) -> None:
                ring[: self.n, self.clock % length] = value
                if lead > 0:
                    self._refill(
                        step, ring[:, self.clock % length], [r < lead for r in self.ranks[: self.n]]
                    )

            return keep_flat
        stop = left + step.extent[1]
        columns = self.program.columns

        def early() -> list[bool]:
            return [r // columns < first_row for r in self.ranks[: self.n]]

        if step.phase == "row":

            def keep_row(value: Tensor) -> None:
                place = ring[:, self.row_clock % length]
                place[: self.n, left:stop] = value
                if first_row > 0:
                    self._refill(step, place[:, left:stop], early())

            return keep_row

        def keep_site(value: Tensor) -> None:
            place = ring[:, self.row_clock % length, left + self.column - lead]
            place[: self.n] = value
            if first_row > 0:
                self._refill(step, place, early())

        return keep_site

    def _refill(self, step: Step, place: Tensor, outside: list[bool]) -> None:
        """Put the fill where a slot has not yet reached the value's first element."""
        for at, is_outside in enumerate(outside):
            if is_outside:
                place[at] = self.tables.fill(step.fill, at)

    def _codes_writer(self) -> Callable[[Tensor], None]:
        step = self.program.steps[0]
        ring, length = self.rings[step.name], self.rings[step.name].shape[1]
        assert step.ring is not None
        left = step.ring.left
        if step.space == "flat":

            def write_flat(codes: Tensor) -> None:
                ring[: self.n, self.clock % length, : codes.shape[1]] = codes

            return write_flat

        def write(codes: Tensor) -> None:
            ring[: self.n, self.row_clock % length, left + self.column, : codes.shape[1]] = codes

        return write

    # ------------------------------------------------------------------ where the slots stand

    def _params_step(self) -> Step:
        last = self.sources[self.program.params.source]
        return Step("params", "params", "", "", {}, (), 0, last.space, last.extent, "site", (0, 0),
                    np.zeros(0, dtype=np.int64), None, 0.0)  # fmt: skip

    def rank(self, offset: int) -> int | Tensor:
        """The running slots' ranks, as one number where they agree; never below zero."""
        if self.uniform:
            return max(self.ranks[0] + offset, 0)
        return (self.rank_index + offset).clamp_min(0)

    def row(self, offset: int) -> int | Tensor:
        if self.uniform:
            return max(self.ranks[0] // self.program.columns + offset, 0)
        return (self.rank_index // self.program.columns + offset).clamp_min(0)


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
