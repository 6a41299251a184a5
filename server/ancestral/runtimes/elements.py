"""Execute an element program: every slot's values in one arena row, steps as gathers and products.

Each slot stands at its own rank; slots at the same rank are computed together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ancestral.compile.elements import ElementProgram, ElementStep, Rows
from ancestral.compile.elements.arena import Ints
from ancestral.runtimes.element_kernels import element_kernel
from ancestral.runtimes.folded import folded_graph
from ancestral.runtimes.stale import BY_ELEMENT, read_first

Draw = Callable[[int, Tensor], Tensor]
Run = Callable[[Tensor | None, int, int], None]  # slots (None: all), a range of the part's rows


class Elements:
    """The arenas of a running batch, [slots, elements]."""

    def __init__(
        self,
        program: ElementProgram,
        slots: int,
        dtype: torch.dtype,
        device: torch.device,
        codes: torch.dtype,
    ) -> None:
        self.program = program
        self.graph = folded_graph(program, dtype, device)
        self.dtype, self.device, self._codes_dtype = dtype, device, codes
        self.n = 0
        self._used = 0  # slots from here on hold zeros
        self._stale = torch.from_numpy(read_first(program)).to(device)
        self.ranks: list[int] = [0] * slots
        self._arena = self._new_arena(slots, program.size)
        for value, at in program.literals.items():
            self._arena[:, at] = value
        self._params = torch.from_numpy(program.params).to(device)
        self._codes = torch.from_numpy(program.codes).to(device)
        self._place(slice(None), [p for p in program.placed if not p.fixed.item], ())
        self._due = self._plan()

    def _new_arena(self, slots: int, size: int) -> Tensor:
        return torch.zeros((slots, size), dtype=self.dtype, device=self.device)

    def step(self, draw: Draw) -> None:
        """One site of every running slot: slots at one rank together."""
        program = self.program
        parts = [(self._members(rank), rank) for rank in sorted(set(self.ranks[: self.n]))]
        for sub in range(program.subs):
            shape = (self.n, *program.params_shape)
            params = torch.empty(shape, dtype=self.dtype, device=self.device)
            for slots, rank in parts:
                found = self.compute(slots, rank, sub)
                params[slice(None) if slots is None else slots] = found
            values = draw(sub, params)
            for slots, rank in parts:
                self.put(slots, rank, sub, values if slots is None else values[slots])
        for i in range(self.n):
            self.ranks[i] += 1

    def compute(self, slots: Tensor | None, rank: int, sub: int) -> Tensor:
        """What is due before a draw of the slots (None: all) at a rank: params [n, D, P]."""
        for run, first, last in self._due[rank * self.program.subs + sub]:
            run(slots, first, last)
        return self._read(slots, self._params[rank]).reshape(-1, *self.program.params_shape)

    def put(self, slots: Tensor | None, rank: int, sub: int, values: Tensor) -> None:
        """Values that were drawn, for the network to read."""
        self._write(slots, self._codes[rank * self.program.subs + sub], values.to(self.dtype))

    def _members(self, rank: int) -> Tensor | None:
        members = [i for i in range(self.n) if self.ranks[i] == rank]
        return None if len(members) == self.n else torch.tensor(members, device=self.device)

    def _read(self, slots: Tensor | None, addresses: Tensor) -> Tensor:
        if slots is None:
            return self._arena[: self.n].index_select(1, addresses)
        return self._arena[slots[:, None], addresses]

    def _write(self, slots: Tensor | None, addresses: Tensor, values: Tensor) -> None:
        if slots is None:
            self._arena[: self.n].index_copy_(1, addresses, values)
        else:
            self._arena[slots[:, None], addresses] = values

    # ------------------------------------------------------------------ slots

    def settle(self) -> None:
        """Nothing is shared between slots."""

    def aligned(self, rank: int) -> bool:
        return True

    def open(
        self, conditions: tuple[Tensor, ...], values: Tensor | None, rank: int, sites: int
    ) -> Tensor | None:
        """A new sequence; one teacher-forced pass over `values` fills its arena."""
        at, self.n = self.n, self.n + 1
        self.ranks[at] = rank
        items = [p for p in self.program.placed if p.fixed.item]
        self._place(slice(at, at + 1), items, conditions)
        used, self._used = self._used, max(self._used, at + 1)
        if values is None:
            if at < used:
                self._arena[at, self._stale] = 0
            return None
        wanted = {step.node for step in self.program.steps}
        found = self.graph.run([values, *conditions], wanted | {self.graph.output})
        for step in self.program.steps:
            tensor = found[step.node]
            tensor = tensor[0] if isinstance(tensor, (tuple, list)) else tensor
            if "split" in step.attrs:
                tensor = tensor.reshape(step.attrs["split"])
            flat = tensor.permute(step.axes).reshape(-1).to(self.dtype)
            self._arena[at, step.start : step.start + flat.numel()] = flat
        known = self._codes.reshape(-1)
        flat = values.flatten(2).transpose(1, 2) if self.program.image else values[..., None]
        by_rank = flat[0][torch.from_numpy(self.program.order)].reshape(-1)
        self._arena[at, known] = by_rank.to(self.dtype)
        params: Tensor = found[self.graph.output]
        return params

    def close(self, at: int) -> None:
        last = self.n - 1
        if at != last:
            self._arena[at] = self._arena[last]
            self.ranks[at] = self.ranks[last]
        self.n = last

    @property
    def weights(self) -> list[Tensor]:
        return list(self.graph.constants.values())

    def slot_bytes(self, sites: int) -> int:
        return self._arena[0].nbytes

    def _place(self, slots: slice, placed: list[Any], conditions: tuple[Tensor, ...]) -> None:
        """Constants, or what follows from a slot's condition, into the arena."""
        if not placed:
            return
        shape = (self.program.channels, self.program.rows, self.program.columns)
        blank = torch.zeros(
            (1, *(shape if self.program.image else shape[2:])),
            dtype=self._codes_dtype, device=self.device,
        )  # fmt: skip
        inputs = [blank, *(conditions or (None,) * (len(self.graph.inputs) - 1))]
        found = self.graph.run(inputs, {p.fixed.name for p in placed})
        for p in placed:
            flat = found[p.fixed.name].reshape(-1).to(self.dtype)
            self._arena[slots, p.start : p.start + flat.numel()] = flat

    # ------------------------------------------------------------------ plans

    def _plan(self) -> list[list[tuple[Run, int, int]]]:
        """For each time, which rows of which parts of which steps are computed, in order."""
        due: list[list[tuple[Run, int, int]]] = [[] for _ in range(len(self.program.codes))]
        for step in self.program.steps:
            for part in step.parts:
                run = self._run_of(step, part.columns, part.rows)
                first = 0
                for time, last in zip(part.times.tolist(), part.ends.tolist(), strict=True):
                    due[time].append((run, first, last))
                    first = last
        return due

    def _run_of(self, step: ElementStep, columns: Ints | None, rows: Ints) -> Run:
        kernel = element_kernel(step, self.graph.constants, self.dtype, columns, rows)
        narrow = columns if step.kind in BY_ELEMENT else None
        operands = [self._operand(o, rows, narrow) for o in step.operands if _is_read(o)]
        own = np.arange(step.payload) if columns is None else columns
        base = torch.from_numpy(step.start + step.rows[rows] * step.payload).to(self.device)
        within = torch.from_numpy(own).to(self.device)
        known: dict[tuple[int, int], Tensor] = {}

        def run(slots: Tensor | None, first: int, last: int) -> None:
            result = kernel(*(o(slots, first, last) if callable(o) else o for o in operands),
                            first=first, last=last, read=self._read, slots=slots)  # fmt: skip
            to = known.get((first, last))
            if to is None:
                to = known[first, last] = (base[first:last, None] + within).reshape(-1)
            self._write(slots, to, result.reshape(-1, to.numel()).to(self.dtype))

        return run

    def _operand(self, operand: Any, rows: Ints, narrow: Ints | None) -> Any:
        if not isinstance(operand, Rows):
            if isinstance(operand, torch.dtype) and operand.is_floating_point:
                return self.dtype
            return operand
        factored = operand.base.shape[1] == 1 or operand.off.size > 1
        chosen, off = operand.base[rows], operand.off
        if narrow is not None:
            if factored:
                off = off[narrow]
            else:
                chosen = chosen[:, narrow]
        base = torch.from_numpy(chosen).to(self.device)
        within = torch.from_numpy(off.copy()).to(self.device)
        known: dict[tuple[int, int], Tensor] = {}
        kind = operand.kind

        def read(slots: Tensor | None, first: int, last: int) -> Tensor:
            at = known.get((first, last))
            if at is None:
                at = known[first, last] = (base[first:last, :, None] + within).reshape(-1)
            found = self._read(slots, at).reshape(-1, last - first, at.numel() // (last - first))
            if kind == "float":
                return found
            return found.bool() if kind == "bool" else found.long()

        return read


def _is_read(operand: Any) -> bool:
    from ancestral.compile.elements import Weight

    return not isinstance(operand, Weight)
