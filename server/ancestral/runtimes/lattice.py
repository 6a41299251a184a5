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
from ancestral.compile.program import Read, Step, StepProgram
from ancestral.runtimes.activations import activations
from ancestral.runtimes.attention import KeyCaches, attention_kernel
from ancestral.runtimes.kernels import Kernel, kernel
from ancestral.runtimes.tables import by_site, site_axes, tables_of

Fetch = Callable[["Lattice"], Tensor]
Draw = Callable[[int, Tensor], Tensor]


class Lattice:
    """The caches of a running batch, and the site at which it stands."""

    def __init__(
        self, program: StepProgram, slots: int, dtype: torch.dtype, device: torch.device, codes: torch.dtype
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
        self._sources = {s.name: s for s in program.steps}
        self.rings = {s.name: self._ring(s) for s in program.steps if s.ring}
        self.keys = KeyCaches(program, slots, dtype, device)
        self._tables = tables_of(program)
        self._constants: dict[int, Tensor] = {}
        self._items: dict[int, Tensor] = {}
        self._read_constants(max(self.capacity, 1))
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
        self._params = self._fetch(program.params, self._params_step())
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
            self._read_constants(sites)
        self.keys.reserve(self.capacity)

    def open(self, conditions: tuple[Tensor, ...], values: Tensor | None, rank: int, sites: int) -> int:
        """Put a new sequence at the end of the batch, its first `rank` sites known.

        `values` are codes of batch one in their natural shape, of which the first `rank` sites
        count; the caches are filled from one teacher-forced pass over them.
        """
        at, self.n = self.n, self.n + 1
        if at == 0:
            self.column = rank % self.program.columns
        self.ranks[at] = rank
        self.reserve(sites)
        self._read_items(at, conditions, sites)
        for name, ring in self.rings.items():
            fill = self._sources[name].fill
            ring[at] = self._fill(fill, at) if isinstance(fill, Table) else fill
        if values is not None:
            self._prefill(at, conditions, values, rank)
        return at

    def close(self, at: int) -> None:
        """Take a slot out of the batch; the last one moves into its place."""
        last = self.n - 1
        if at != last:
            for store in (*self.rings.values(), *self.keys.stores(), *self._items.values()):
                store[at] = store[last]
            self.ranks[at] = self.ranks[last]
        self.n = last

    def slot_bytes(self, sites: int) -> int:
        rings = sum(r[0].nbytes for r in self.rings.values())
        items = sum(s[0].nbytes for s in self._items.values())
        return rings + items + self.keys.slot_bytes(sites)

    # ------------------------------------------------------------------ stores

    def _ring(self, step: Step) -> Tensor:
        ring = step.ring
        assert ring is not None
        columns = ring.left + step.extent[1] + ring.right
        shape = (ring.length, columns) if step.space == "grid" else (ring.length,)
        dtype = self._codes_dtype if step.kind == "codes" else self.dtype
        return torch.zeros((self.slots, *shape, step.payload), dtype=dtype, device=self.device)

    def _example(self, sites: int) -> Tensor:
        program = self.program
        shape = (1, program.channels, program.rows, program.columns)
        if program.space != "grid":
            shape = (1, sites)  # type: ignore[assignment]
        return torch.zeros(shape, dtype=self._codes_dtype, device=self.device)

    def _read_constants(self, sites: int) -> None:
        constant = [t for t in self._tables if not t.fixed.item]
        if not constant:
            return
        inputs = [self._example(sites), *(None for _ in self.graph.inputs[1:])]
        found = self.graph.run(inputs, {t.fixed.name for t in constant})
        for table in constant:
            tensor = _origin(found[table.fixed.name], table)
            self._constants[id(table)] = by_site(tensor, table).contiguous()

    def _read_items(self, at: int, conditions: tuple[Tensor, ...], sites: int) -> None:
        items = [t for t in self._tables if t.fixed.item]
        if not items:
            return
        found = self.graph.run([self._example(sites), *conditions], {t.fixed.name for t in items})
        for table in items:
            tensor = by_site(_origin(found[table.fixed.name], table), table)
            store = self._items.get(id(table))
            if store is None or (site_axes(table) == ("flat",) and store.shape[1] < len(tensor)):
                grown = torch.zeros((self.slots, *tensor.shape), dtype=tensor.dtype, device=self.device)
                if store is not None:
                    grown[:, : store.shape[1]] = store
                self._items[id(table)] = store = grown
            if site_axes(table) == ("flat",):
                store[at, : len(tensor)] = tensor
            else:
                store[at] = tensor

    def _fill(self, table: Table, at: int) -> Tensor:
        return self._items[id(table)][at] if table.fixed.item else self._constants[id(table)]

    def _prefill(self, at: int, conditions: tuple[Tensor, ...], values: Tensor, rank: int) -> None:
        found = activations(self.program, self.graph, values, conditions)
        for name, ring in self.rings.items():
            step, length = self._sources[name], ring.shape[1]
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
        guarded = step.space == "grid" and step.phase == "site" and (
            low > 0 or high < self.program.columns
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
                operands.append(self._fetch(operand, step, narrow))
            elif isinstance(operand, Table):
                operands.append(self._lookup(operand, step, narrow))
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
                    self._refill(step, ring[:, self.clock % length], [r < lead for r in self.ranks[: self.n]])
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
                fill = step.fill
                place[at] = self._fill(fill, at) if isinstance(fill, Table) else fill

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

    # ------------------------------------------------------------------ fetches

    def _params_step(self) -> Step:
        last = self._sources[self.program.params.source]
        return Step("params", "params", "", "", {}, (), 0, last.space, last.extent, "site", (0, 0),
                    np.zeros(0, dtype=np.int64), None, 0.0)  # fmt: skip

    def _fetch(self, read: Read, step: Step, elements: Ints | None = None) -> Fetch:
        pmap = read.pmap
        if elements is not None:
            pmap = elements if pmap is None else pmap[elements]
        pick = _picker(pmap)
        if read.direct:
            name, regs = read.source, self.regs
            return (lambda at: regs[name]) if pick is None else (lambda at: pick(regs[name]))
        source = self._sources[read.source]
        if source.space == "grid":
            if step.space == "flat":
                fetch = self._fetch_wrapped(source, read)
            elif step.phase == "row":
                fetch = self._fetch_rows(source, read, step.extent[1])
            else:
                fetch = self._fetch_taps(source, read)
        else:
            fetch = self._fetch_flat(source, read)
        if pick is None:
            return fetch
        if len(read.taps) == 1:
            return lambda at: pick(fetch(at))
        width, count = source.payload, len(read.taps)
        return lambda at: pick(fetch(at).unflatten(-1, (count, width))).flatten(-2)

    def _fetch_flat(self, source: Step, read: Read) -> Fetch:
        ring, lags = self.rings[source.name], [lag for lag, _ in read.taps]
        length = ring.shape[1]
        if len(lags) == 1:
            lag = lags[0]
            return lambda at: ring[: at.n, (at.clock - lag) % length]
        return lambda at: torch.cat([ring[: at.n, (at.clock - k) % length] for k in lags], -1)

    def _fetch_taps(self, source: Step, read: Read) -> Fetch:
        ring = self.rings[source.name]
        assert source.ring is not None
        length, left, width = source.ring.length, source.ring.left, source.payload
        runs = _runs(read.taps)
        if len(runs) == 1 and runs[0][2] == 1:
            lag, offset, _, _ = runs[0]
            return lambda at: ring[: at.n, (at.row_clock - lag) % length, left + at.column + offset]

        def fetch(at: Lattice) -> Tensor:
            column = left + at.column
            parts = [
                ring[
                    : at.n, (at.row_clock - lag) % length,
                    column + offset : column + offset + (count - 1) * gap + 1 : gap,
                ].reshape(at.n, count * width)
                for lag, offset, count, gap in runs
            ]  # fmt: skip
            return parts[0] if len(parts) == 1 else torch.cat(parts, -1)

        return fetch

    def _fetch_rows(self, source: Step, read: Read, width: int) -> Fetch:
        ring = self.rings[source.name]
        assert source.ring is not None
        length, left = source.ring.length, source.ring.left

        def fetch(at: Lattice) -> Tensor:
            parts = [
                ring[: at.n, (at.row_clock - lag) % length, left + offset : left + offset + width]
                for lag, offset in read.taps
            ]
            return parts[0] if len(parts) == 1 else torch.cat(parts, -1)

        return fetch

    def _fetch_wrapped(self, source: Step, read: Read) -> Fetch:
        """A raster rank's neighbour on the grid: it may lie at the end of the row above."""
        ring = self.rings[source.name]
        assert source.ring is not None
        length, left = source.ring.length, source.ring.left
        ((lag, offset),) = read.taps
        columns = self.program.columns

        def fetch(at: Lattice) -> Tensor:
            rows, column = divmod(at.column + offset, columns)
            return ring[: at.n, (at.row_clock + rows - lag) % length, left + column]

        return fetch

    def _lookup(self, table: Table, step: Step, elements: Ints | None = None) -> Fetch:
        pick = None if elements is None else _picker(elements)
        axes, keyed = site_axes(table), "key" in table.axes
        row_lead, col_lead = step.lead
        columns = self.program.columns
        in_row = step.phase == "row"

        def entry(at: Lattice) -> Tensor:
            item = table.fixed.item
            store = (self._items if item else self._constants)[id(table)]
            if not axes:
                found = store[: at.n] if item else store
                return found[:, None] if item and in_row else found
            if axes == ("flat",) and step.space == "flat":
                where: list[Any] = [at.rank(-col_lead)]
            elif axes == ("flat",):
                first = at.row(-row_lead) * columns
                if in_row:
                    return torch.stack([store[i : i + columns] for i in _each(first, at.n)])
                where = [first + at.column - col_lead]
            else:
                where = [
                    at.row(-row_lead) if axis == "row" else (slice(None) if in_row else at.column - col_lead)
                    for axis in axes
                ]  # fmt: skip
            if item:
                return store[(torch.arange(at.n, device=at.device), *where)]
            return store[tuple(where)]

        if keyed:
            return lambda at: self.keys.visible(entry(at), step)
        if pick is None:
            return entry
        chosen = pick
        return lambda at: chosen(entry(at))

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


def _each(first: int | Tensor, n: int) -> list[int]:
    return [first] * n if isinstance(first, int) else [int(i) for i in first]


def _origin(tensor: Tensor, table: Table) -> Tensor:
    """The tensor with a batch axis of size one where the example's batch stood."""
    missing = tensor.dim() - len(table.axes)
    for i, axis in enumerate(table.axes):
        if axis == "batch":
            tensor = tensor.narrow(i + missing, 0, 1)
    return tensor


def _number(value: Any, dtype: torch.dtype) -> Any:
    return dtype if isinstance(value, torch.dtype) and value.is_floating_point else value


def _picker(pmap: Ints | None) -> Callable[[Tensor], Tensor] | None:
    """Select payload elements: a slice where they are consecutive, a gather where not."""
    if pmap is None:
        return None
    first, count = int(pmap[0]), pmap.size
    if (pmap == np.arange(first, first + count)).all():
        return lambda x: x[..., first : first + count]
    index = torch.from_numpy(pmap.copy())
    return lambda x: x.index_select(-1, index)


def _runs(taps: tuple[tuple[int, int], ...]) -> list[tuple[int, int, int, int]]:
    """Taps of one row at equal distances, as (lag, first offset, count, gap)."""
    runs: list[tuple[int, int, int, int]] = []
    for lag, offset in taps:
        if runs:
            last_lag, first, count, gap = runs[-1]
            step = offset - (first + (count - 1) * gap)
            if last_lag == lag and step > 0 and (count == 1 or step == gap):
                runs[-1] = (lag, first, count + 1, step)
                continue
        runs.append((lag, offset, 1, 1))
    return runs


__all__ = ["Lattice"]
