"""The steps of a program over grids and time as a straight line; see `runtimes.lattice`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ancestral.compile.place import Fixed, Ints, Table
from ancestral.compile.program import StepProgram
from ancestral.compile.step import ATTENTION, Absent, Read, Step
from ancestral.runtimes.caches import Caches
from ancestral.runtimes.kernels import kernel
from ancestral.runtimes.straight.addresses import Addresses
from ancestral.runtimes.straight.attention import attention, keyed
from ancestral.runtimes.straight.fetch import Fetch, fetch, lookup
from ancestral.runtimes.straight.state import State, ring_name, table_names

Draw = Callable[[int, Tensor], Tensor]
Run = Callable[[State], None]


class StraightLattice:
    """What a row begins with, and a site, as functions of a `State`.

    It holds for any number of slots and any room for keys. `caches` are asked for shapes, weights
    and for which attention is sparse, never for positions.
    """

    def __init__(self, caches: Caches) -> None:
        self.caches = caches
        self.program: StepProgram = caches.program
        self._names = table_names(caches)
        self._site_addresses = Addresses(caches.device, moving=True)
        self._row_addresses = Addresses(caches.device, moving=False)
        self._row = [self._plan(step, None) for step in self.program.row_steps]
        self._site: list[list[Run]] = []
        for sub in range(self.program.subs + 1):
            plans = []
            for step in self.program.site_steps:
                elements = np.flatnonzero(step.sub == sub)
                if elements.size and step.kind != "codes":
                    whole = elements.size == step.payload
                    plans.append(self._plan(step, None if whole else elements))
            self._site.append(plans)
        self._params = fetch(caches, self._site_addresses, self.program.params, self._reader())
        self._codes = self._site_addresses.add(
            self.program.steps[0], self._length(self.program.steps[0]), [(0, 0)]
        )
        self._site_addresses.seal()
        self._row_addresses.seal()

    def row(self, s: State) -> None:
        """What is computed a row at a time, at the row's first column."""
        s.pieces = self._row_addresses.pieces(s.at)
        for run in self._row:
            run(s)
        s.regs.clear()

    def site(self, s: State, draw: Draw) -> None:
        """One site; `draw(sub, params [n, D, P])` returns the values [n, dims]."""
        s.pieces = self._site_addresses.pieces(s.at)
        vectors, size = self.program.params_shape
        codes = None
        for sub in range(self.program.subs):
            for run in self._site[sub]:
                run(s)
            values = draw(sub, self._params(s).reshape(-1, vectors, size))
            codes = values if codes is None else torch.cat([codes, values], 1)
            self._write_codes(s, codes)
        for run in self._site[self.program.subs]:
            run(s)

    # ------------------------------------------------------------------ plans

    def _plan(self, step: Step, elements: Ints | None) -> Run:
        """The step as a function: fetch, compute, keep."""
        if step.kind in ATTENTION or step.kind == "softmax-keys":
            compute = attention(self.caches, self._addresses(step), self._names, step)
        else:
            compute = self._arithmetic(step, elements)
        keep = None if step.ring is None else self._keeper(step)
        name = step.name
        if elements is not None:
            compute = _merged(compute, name, step.payload, elements, self.caches.device)

        def run(s: State) -> None:
            s.regs[name] = value = compute(s)
            if keep is not None:
                keep(s, value)

        return run

    def _addresses(self, step: Step) -> Addresses:
        return self._row_addresses if step.phase == "row" else self._site_addresses

    def _arithmetic(self, step: Step, elements: Ints | None) -> Fetch:
        caches, addresses = self.caches, self._addresses(step)
        narrow = elements if step.kind in ("pointwise", "copy") else None
        operands: list[Any] = []
        given = step.operands
        if step.kind == "cat" and elements is not None:
            given = _wanted(caches, step, elements)
        for operand in given:
            if isinstance(operand, Read):
                operands.append(fetch(caches, addresses, operand, step, narrow))
            elif isinstance(operand, Table) and "key" in operand.axes:
                operands.append(keyed(caches, self._names, operand, step))
            elif isinstance(operand, Table):
                operands.append(lookup(caches, self._names, operand, step, narrow))
            elif isinstance(operand, Absent):
                zeros = torch.zeros(operand.size, dtype=caches.dtype, device=caches.device)
                operands.append(lambda s, zeros=zeros: zeros)
            elif not isinstance(operand, Fixed):
                real = isinstance(operand, torch.dtype) and operand.is_floating_point
                operands.append(caches.dtype if real else operand)
        if step.kind in ("embedding", "one-hot") and elements is not None:
            blocks = np.unique(elements // step.attrs["width"])
            picked = torch.from_numpy(blocks).to(caches.device)
            first = operands[0]
            operands = [lambda s: first(s).index_select(-1, picked)]
        function = kernel(step, caches.graph.constants, caches.dtype, elements)
        return lambda s: function(*(o(s) if callable(o) else o for o in operands))

    def _length(self, step: Step) -> int:
        return int(self.caches.rings[step.name].shape[1])

    def _keeper(self, step: Step) -> Callable[[State, Tensor], None]:
        """Write a value to its ring: as it is, or the fill where it is not defined."""
        name, columns, payload = ring_name(step.name), self.program.columns, step.payload
        in_row, grid, lead = step.phase == "row", step.space == "grid", step.lead
        offset = -lead[1] if grid and not in_row else 0
        piece = self._addresses(step).add(step, self._length(step), [(0, offset)])
        low, high = lead[1], lead[1] + step.extent[1]
        guarded = grid and not in_row and (low > 0 or high < columns)
        late = lead[0] if grid else max(lead[1], 0)
        width = torch.arange(step.extent[1], device=self.caches.device)

        def keep(s: State, value: Tensor) -> None:
            index = s.pieces[piece]
            if in_row:
                index = index + width
            shape = (*index.shape, payload) if in_row else (index.shape[0], payload)
            if value.shape != shape:
                value = value.expand(shape)
            if late > 0:
                done = torch.div(s.at.rank, columns, rounding_mode="floor") if grid else s.at.rank
                early = (done < late).reshape(-1, 1, 1) if in_row else (done < late)[:, None]
                value = torch.where(early, self._fill(s, step), value)
            rows, value = index.reshape(-1), value.reshape(-1, payload)
            if guarded:
                inside = (s.at.column >= low) & (s.at.column < high)
                value = torch.where(inside, value, s.stores[name].index_select(0, rows))
            s.write(name, rows, value)

        return keep

    def _fill(self, s: State, step: Step) -> Any:
        """What stands where a value is not defined: a number, or [n or 1, ..., payload]."""
        if not isinstance(step.fill, Table):
            return float(step.fill)
        found = s.statics[self._names[id(step.fill)]]
        if step.fill.fixed.item and step.phase == "row":
            return found.reshape(-1, 1, step.payload)
        return found

    def _write_codes(self, s: State, codes: Tensor) -> None:
        name, index = ring_name(self.program.steps[0].name), s.pieces[self._codes].reshape(-1)
        width = self.program.steps[0].payload
        if codes.shape[1] < width:
            before = s.stores[name].index_select(0, index)
            codes = torch.cat([codes.to(before.dtype), before[:, codes.shape[1] :]], 1)
        s.write(name, index, codes)

    def _reader(self) -> Step:
        last = self.caches.sources[self.program.params.source]
        return Step("params", "params", "", "", {}, (), 0, last.space, last.extent, "site", (0, 0),
                    np.zeros(0, dtype=np.int64), None, 0.0)  # fmt: skip


def _merged(compute: Fetch, name: str, payload: int, elements: Ints, device: torch.device) -> Fetch:
    """Some elements of a step, the others as they were, zero at first."""
    inverse, mine = np.zeros(payload, dtype=np.int64), np.zeros(payload, dtype=bool)
    inverse[elements], mine[elements] = np.arange(elements.size), True
    index, mask = torch.from_numpy(inverse).to(device), torch.from_numpy(mine).to(device)

    def merged(s: State) -> Tensor:
        part = compute(s).index_select(-1, index)
        before = s.regs.get(name)
        return torch.where(mask, part, torch.zeros_like(part) if before is None else before)

    return merged


def _wanted(caches: Caches, step: Step, elements: Ints) -> tuple[Any, ...]:
    """A join's operands; those that none of the elements come from need not exist yet."""
    places, start, wanted = step.attrs["order"][elements], 0, []
    for operand in step.operands:
        if isinstance(operand, Read):
            pmap = operand.pmap
            size = caches.sources[operand.source].payload if pmap is None else pmap.size
        else:
            size = operand.size if isinstance(operand, Absent) else operand.index.size
        here = bool(((places >= start) & (places < start + size)).any())
        wanted.append(operand if here else Absent(size))
        start += size
    return tuple(wanted)
