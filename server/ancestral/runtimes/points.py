"""Execute a step program without site axes (MADE): every element has its own rank.

Each slot stands at its own rank; slots at the same rank are computed together. A value's elements
are computed once, when the last input they read is known.
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
from ancestral.runtimes.kernels import kernel, split
from ancestral.runtimes.tables import Tables

Draw = Callable[[int, Tensor], Tensor]
Rows = slice | Tensor  # which slots
Group = Callable[[Rows], None]


class Points:
    """The values of a running batch of vectors: one row per slot, one column per element."""

    def __init__(
        self,
        program: StepProgram,
        slots: int,
        dtype: torch.dtype,
        device: torch.device,
        codes: torch.dtype,
    ) -> None:
        self.program = program
        self.graph = program.graph.to(dtype, device).folded()
        self.dtype, self.device = dtype, device
        self.n = 0
        self.ranks: list[int] = [0] * slots
        self._values = {
            s.name: torch.zeros(
                (slots, s.payload), dtype=codes if s.kind == "codes" else dtype, device=device
            )
            for s in program.steps
        }
        self._codes = self._values[program.steps[0].name]
        self._tables = Tables(program, self.graph, slots, codes, device)
        self._tables.read_constants(program.columns)
        self._groups = self._plan()
        self._sub_elements = self._elements_by_sub()
        vectors, size = program.params_shape
        pmap = program.params.pmap
        flat = np.arange(vectors * size * program.rows * program.columns) if pmap is None else pmap
        assert program.order is not None
        by_site_ = flat.reshape(program.rows * program.columns, vectors * size)[program.order]
        self._params_index = torch.from_numpy(by_site_.copy()).to(device)

    def step(self, draw: Draw) -> None:
        """One site of every running slot: slots at one rank together."""
        per_site = self.program.subs // len(self._params_index)
        vectors, size = self.program.params_shape
        parts: list[tuple[list[int], int]] = []
        for rank in sorted(set(self.ranks[: self.n])):
            parts.append(([i for i in range(self.n) if self.ranks[i] == rank], rank))
        for channel in range(per_site):
            params = torch.zeros((self.n, vectors, size), dtype=self.dtype, device=self.device)
            for members, rank in parts:
                rows = self._rows(members)
                for run in self._groups[rank * per_site + channel]:
                    run(rows)
                source = self._values[self.program.params.source]
                params[rows] = split(source[rows][:, self._params_index[rank]], vectors, size)
            values = draw(channel, params)
            for members, rank in parts:
                rows = self._rows(members)
                elements = self._sub_elements[rank * per_site + channel]
                self._write(rows, elements, values[rows])
        for i in range(self.n):
            self.ranks[i] += 1

    def _rows(self, members: list[int]) -> Rows:
        if len(members) == self.n:
            return slice(0, self.n)
        return torch.tensor(members, dtype=torch.int64, device=self.device)

    def _write(self, rows: Rows, elements: Tensor, values: Tensor) -> None:
        if isinstance(rows, slice):
            self._codes[rows, elements] = values.to(self._codes.dtype)
        else:
            self._codes[rows[:, None], elements] = values.to(self._codes.dtype)

    # ------------------------------------------------------------------ slots

    def settle(self) -> None:
        """Nothing is shared between slots."""

    def aligned(self, rank: int) -> bool:
        return True

    def open(
        self, conditions: tuple[Tensor, ...], values: Tensor | None, rank: int, sites: int
    ) -> Tensor | None:
        """As `Caches.open`: one teacher-forced pass over `values` fills every store."""
        at, self.n = self.n, self.n + 1
        self.ranks[at] = rank
        for store in self._values.values():
            store[at] = 0
        self._tables.read_items(at, conditions, sites)
        if values is not None:
            found, params = activations(self.program, self.graph, values, conditions, every=True)
            for name, store in self._values.items():
                store[at] = found[name].reshape(-1).to(store.dtype)
            return params
        return None

    def close(self, at: int) -> None:
        last = self.n - 1
        if at != last:
            for store in (*self._values.values(), *self._tables.items.values()):
                store[at] = store[last]
            self.ranks[at] = self.ranks[last]
        self.n = last

    def slot_bytes(self, sites: int) -> int:
        return sum(s[0].nbytes for s in (*self._values.values(), *self._tables.items.values()))

    # ------------------------------------------------------------------ plans

    def _elements_by_sub(self) -> list[Tensor]:
        """The elements of the codes that become known at each sub-step."""
        ready = self.program.steps[0].attrs["ready"]
        out = []
        for sub in range(self.program.subs):
            out.append(torch.from_numpy(np.flatnonzero(ready == sub)).to(self.device))
        return out

    def _plan(self) -> list[list[Group]]:
        weights = self.graph.constants
        groups: list[list[Group]] = [[] for _ in range(self.program.subs + 1)]
        for step in self.program.steps[1:]:
            for sub in np.unique(step.sub[step.sub >= 0]):
                elements = np.flatnonzero(step.sub == sub)
                groups[int(sub)].append(self._group(step, weights, elements))
        return groups

    def _group(self, step: Step, weights: Any, elements: Ints) -> Group:
        whole = elements.size == step.payload
        narrow = elements if step.kind in ("pointwise", "copy") and not whole else None
        operands = [self._operand(o, narrow) for o in step.operands if not isinstance(o, Fixed)]
        if step.kind in ("embedding", "one-hot") and not whole:
            blocks = torch.from_numpy(np.unique(elements // step.attrs["width"]))
            first = operands[0]
            operands = [lambda rows: first(rows)[:, blocks]]
        function = kernel(step, weights, self.dtype, None if whole else elements)
        store = self._values[step.name]
        index = torch.from_numpy(elements).to(self.device)

        def run(rows: Rows) -> None:
            result = function(*(o(rows) if callable(o) else o for o in operands))
            if isinstance(rows, slice):
                store[rows, index] = result.to(store.dtype)
            else:
                store[rows[:, None], index] = result.to(store.dtype)

        return run

    def _operand(self, operand: Any, narrow: Ints | None) -> Any:
        if isinstance(operand, Read):
            store = self._values[operand.source]
            pmap = operand.pmap
            if narrow is not None:
                pmap = narrow if pmap is None else pmap[narrow]
            if pmap is None:
                return lambda rows: store[rows]
            index = torch.from_numpy(pmap.copy()).to(self.device)
            return lambda rows: store[rows][:, index]
        if isinstance(operand, Table):
            picked = None if narrow is None else torch.from_numpy(narrow).to(self.device)

            def entry(rows: Rows) -> Tensor:
                store = self._tables.store(operand)
                found = store[rows] if operand.fixed.item else store
                return found if picked is None else found[..., picked]

            return entry
        if isinstance(operand, Absent):
            zeros = torch.zeros(operand.size, dtype=self.dtype, device=self.device)
            return lambda rows: zeros
        if isinstance(operand, torch.dtype) and operand.is_floating_point:
            return self.dtype
        return operand
