"""How operands are read: off the caches, at taps, or off tables at the slots' own sites."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ancestral.compile.place import Ints, Table
from ancestral.compile.step import Read, Step
from ancestral.runtimes.caches import Caches
from ancestral.runtimes.kernels import split
from ancestral.runtimes.stand import Stand
from ancestral.runtimes.tables import site_axes

Fetch = Callable[[Stand], Tensor]


def fetch(caches: Caches, read: Read, step: Step, elements: Ints | None = None) -> Fetch:
    """An operand read off the caches, or off this very step: [slots, (columns,) payload]."""
    pmap = read.pmap
    if elements is not None:
        pmap = elements if pmap is None else pmap[elements]
    pick = _picker(pmap, caches.device)
    if read.direct:
        name, regs = read.source, caches.regs
        return (lambda at: regs[name]) if pick is None else (lambda at: pick(regs[name]))
    source = caches.sources[read.source]
    if source.space == "grid":
        if step.space == "flat":
            taken = _fetch_wrapped(caches, source, read)
        elif step.phase == "row":
            taken = _fetch_rows(caches, source, read, step.extent[1])
        else:
            taken = _fetch_taps(caches, source, read)
    else:
        taken = _fetch_flat(caches, source, read)
    if pick is None:
        return taken
    if len(read.taps) == 1:
        return lambda at: pick(taken(at))
    width, count = source.payload, len(read.taps)
    return lambda at: pick(split(taken(at), count, width)).flatten(-2)


def _fetch_flat(caches: Caches, source: Step, read: Read) -> Fetch:
    ring, lags = caches.rings[source.name], [lag for lag, _ in read.taps]
    length = ring.shape[1]
    seen: dict[int, list[Tensor]] = caches.memo()

    def read_lags(at: Stand) -> Tensor:
        place = at.clock % length
        parts = seen.get(place)
        if parts is None:
            parts = seen[place] = [ring[: at.n, (place - lag) % length] for lag in lags]
        return parts[0] if len(parts) == 1 else torch.cat(parts, -1)

    return read_lags


def _fetch_taps(caches: Caches, source: Step, read: Read) -> Fetch:
    ring, columns = caches.rings[source.name], caches.program.columns
    assert source.ring is not None
    length, left, width = source.ring.length, source.ring.left, source.payload
    runs = _runs(read.taps)
    copies = any(gap > 1 for _, _, _, gap in runs)  # such a run cannot be flattened as a view
    seen: dict[int, list[Tensor]] = caches.memo()

    def windows(n: int, row: int, column: int) -> list[Tensor]:
        parts = []
        for lag, offset, count, gap in runs:
            first = left + column + offset
            part = ring[:n, (row - lag) % length, first : first + (count - 1) * gap + 1 : gap]
            parts.append(part if gap > 1 else part.reshape(n, count * width))
        return parts

    def read_taps(at: Stand) -> Tensor:
        row = at.row_clock % length
        place = row * columns + at.column
        parts = seen.get(place)
        if parts is None:
            parts = seen[place] = windows(at.n, row, at.column)
        if copies:
            parts = [part.flatten(1) for part in parts]
        return parts[0] if len(parts) == 1 else torch.cat(parts, -1)

    return read_taps


def _fetch_rows(caches: Caches, source: Step, read: Read, width: int) -> Fetch:
    ring = caches.rings[source.name]
    assert source.ring is not None
    length, left = source.ring.length, source.ring.left

    def read_taps(at: Stand) -> Tensor:
        parts = [
            ring[: at.n, (at.row_clock - lag) % length, left + offset : left + offset + width]
            for lag, offset in read.taps
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts, -1)

    return read_taps


def _fetch_wrapped(caches: Caches, source: Step, read: Read) -> Fetch:
    """A raster rank's neighbour on the grid: it may lie at the end of the row above."""
    ring = caches.rings[source.name]
    assert source.ring is not None
    length, left = source.ring.length, source.ring.left
    ((lag, offset),) = read.taps
    columns = caches.program.columns

    def read_taps(at: Stand) -> Tensor:
        rows, column = divmod(at.column + offset, columns)
        return ring[: at.n, (at.row_clock + rows - lag) % length, left + column]

    return read_taps


def lookup(caches: Caches, table: Table, step: Step, elements: Ints | None = None) -> Fetch:
    """An operand known before sampling, at the slots' own sites."""
    pick = None if elements is None else _picker(elements, caches.device)
    axes, keyed = site_axes(table), "key" in table.axes
    columns, in_row = caches.program.columns, step.phase == "row"
    whole: dict[int, Tensor] = caches.memo()

    def everywhere(at: Stand) -> Tensor:
        """The same at all sites."""
        found = whole.get(0)
        if found is None:
            store = caches.tables.store(table)
            found = store[: at.n] if table.fixed.item else store
            found = whole[0] = found[:, None] if table.fixed.item and in_row else found
        return found

    def here(at: Stand) -> Tensor:
        store = caches.tables.store(table)
        where = _where(at, axes, step, columns)
        if not table.fixed.item:
            return store[tuple(where)]
        shared = not any(isinstance(w, Tensor) for w in where)
        slots = slice(0, at.n) if shared else torch.arange(at.n, device=at.device)
        return store[(slots, *where)]

    entry = here if axes else everywhere
    if keyed:
        return lambda at: caches.keys.visible(at, entry(at), step)
    if pick is None:
        return entry
    chosen = pick
    return lambda at: chosen(entry(at))


def _where(at: Stand, axes: tuple[str, ...], step: Step, columns: int) -> list[Any]:
    """The index of the slots' sites along a table's site axes."""
    row_lead, col_lead = step.lead
    if axes == ("flat",) and step.space == "flat":
        return [at.rank(-col_lead)]
    rows, column = at.row(-row_lead), slice(None) if step.phase == "row" else at.column - col_lead
    if axes == ("flat",):  # a raster table met on the grid
        if step.phase == "row":
            inside = torch.arange(columns, device=at.device)
            return [
                rows * columns + inside
                if isinstance(rows, int)
                else rows[:, None] * columns + inside
            ]
        return [rows * columns + at.column - col_lead]
    return [rows if axis == "row" else column for axis in axes]


def _picker(pmap: Ints | None, device: torch.device) -> Callable[[Tensor], Tensor] | None:
    """Select payload elements: a slice where they are consecutive, a gather where not."""
    if pmap is None:
        return None
    first, count = int(pmap[0]), pmap.size
    if (pmap == np.arange(first, first + count)).all():
        return lambda x: x[..., first : first + count]
    index = torch.from_numpy(pmap.copy()).to(device)
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
