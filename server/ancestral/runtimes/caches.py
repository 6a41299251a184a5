"""What a running batch remembers: rings of past rows and steps, keys, tables, results at hand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ancestral.compile.program import StepProgram
from ancestral.compile.step import Step
from ancestral.runtimes.activations import activations
from ancestral.runtimes.folded import folded_graph
from ancestral.runtimes.keys import KeyCaches
from ancestral.runtimes.stand import Stand
from ancestral.runtimes.tables import Tables


class Caches:
    """Stores of a program for a number of slots, each with the slot as its first axis."""

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
        self.graph = folded_graph(program, dtype, device)
        self.stand = Stand(slots, program.columns, program.space == "grid", device)
        self.regs: dict[str, Tensor] = {}  # results of the step at hand
        self.sources = {s.name: s for s in program.steps}
        self._slots, self._codes_dtype = slots, codes
        self.rings = {s.name: self._ring(s) for s in program.steps if s.ring}
        self.keys = KeyCaches(program, slots, dtype, device)
        self.tables = Tables(program, self.graph, slots, codes, device)
        self._capacity = program.rows * program.columns if program.space == "grid" else 1
        self.tables.read_constants(self._capacity)
        self._memos: list[dict[int, Any]] = []

    @property
    def slots(self) -> int:
        return self._slots

    def memo(self) -> dict[int, Any]:
        """A place for views of the stores, forgotten when slots come or go.

        A view costs as much as a small product; at the same ring position it is the same view.
        """
        found: dict[int, Any] = {}
        self._memos.append(found)
        return found

    def _forget(self) -> None:
        for memo in self._memos:
            memo.clear()

    def reserve(self, sites: int) -> None:
        """Make room for items of that many sites."""
        if sites > self._capacity:
            self._capacity = sites
            self.tables.read_constants(sites)
        self.keys.reserve(self._capacity, self.stand)

    def open(
        self, conditions: tuple[Tensor, ...], values: Tensor | None, rank: int, sites: int
    ) -> Tensor | None:
        """Put a new sequence at the end of the batch, its first `rank` sites known.

        `values` are codes of batch one in their natural shape, of which the first `rank` sites
        count; the caches are filled from one teacher-forced pass over them, whose params
        [1, *grid, D, P] are returned.
        """
        self._forget()
        at = self.stand.join(rank)
        self.reserve(sites)
        self.tables.read_items(at, conditions, sites)
        for name, ring in self.rings.items():
            ring[at] = self.tables.fill(self.sources[name].fill, at)
        return None if values is None else self._prefill(at, conditions, values, rank)

    def close(self, at: int) -> None:
        """Take a slot out of the batch; the last one moves into its place."""
        self._forget()
        last = self.stand.leave(at)
        if at != last:
            for store in (*self.rings.values(), *self.keys.stores(), *self.tables.items.values()):
                store[at] = store[last]

    def slot_bytes(self, sites: int) -> int:
        rings = sum(r[0].nbytes for r in self.rings.values())
        items = sum(s[0].nbytes for s in self.tables.items.values())
        return rings + items + self.keys.slot_bytes(sites)

    def _ring(self, step: Step) -> Tensor:
        ring = step.ring
        assert ring is not None
        columns = ring.left + step.extent[1] + ring.right
        shape = (ring.length, columns) if step.space == "grid" else (ring.length,)
        dtype = self._codes_dtype if step.kind == "codes" else self.dtype
        return torch.zeros((self._slots, *shape, step.payload), dtype=dtype, device=self.device)

    def _prefill(
        self, at: int, conditions: tuple[Tensor, ...], values: Tensor, rank: int
    ) -> Tensor:
        found, params = activations(self.program, self.graph, values, conditions, rank)
        for name, ring in self.rings.items():
            step, length = self.sources[name], ring.shape[1]
            source = found[name].to(ring.dtype)
            if step.space == "flat":
                for lag in range(1, length + 1):
                    index = rank - lag - step.lead[1]
                    if 0 <= index < source.shape[0]:
                        ring[at, (self.stand.clock - lag) % length] = source[index]
                continue
            row = rank // self.program.columns
            assert step.ring is not None
            left = step.ring.left
            for lag in range(length):
                index = row - lag - step.lead[0]
                if 0 <= index < source.shape[0]:
                    place = ring[at, (self.stand.row_clock - lag) % length]
                    place[left : left + source.shape[1]] = source[index]
        self.keys.prefill(at, found, rank)
        return params
