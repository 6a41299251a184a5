"""How operands are read: off the caches, at taps, or off tables at the slots' own sites."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ancestral.compile.place import Ints, Table
from ancestral.compile.program import Read, Step
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
    pick = _picker(pmap)
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
    if len(lags) == 1:
        lag = lags[0]
        return lambda at: ring[: at.n, (at.clock - lag) % length]
    return lambda at: torch.cat([ring[: at.n, (at.clock - k) % length] for k in lags], -1)


def _fetch_taps(caches: Caches, source: Step, read: Read) -> Fetch:
    ring = caches.rings[source.name]
    assert source.ring is not None
    length, left, width = source.ring.length, source.ring.left, source.payload
    runs = _runs(read.taps)
    if len(runs) == 1 and runs[0][2] == 1:
        lag, offset, _, _ = runs[0]
        return lambda at: ring[: at.n, (at.row_clock - lag) % length, left + at.column + offset]

    def read_taps(at: Stand) -> Tensor:
        column = left + at.column
        parts = [
            ring[
                : at.n, (at.row_clock - lag) % length,
                column + offset : column + offset + (count - 1) * gap + 1 : gap,
            ].reshape(at.n, count * width)
            for lag, offset, count, gap in runs
        ]  # fmt: skip
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
    pick = None if elements is None else _picker(elements)
    axes, keyed = site_axes(table), "key" in table.axes
    row_lead, col_lead = step.lead
    columns = caches.program.columns
    in_row = step.phase == "row"

    def entry(at: Stand) -> Tensor:
        item = table.fixed.item
        store = caches.tables.store(table)
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
            where = [at.row(-row_lead) if axis == "row" else at.column - col_lead for axis in axes]
            if in_row:
                where = [
                    w if axis == "row" else slice(None) for w, axis in zip(where, axes, strict=True)
                ]
        if item:
            return store[(torch.arange(at.n, device=at.device), *where)]
        return store[tuple(where)]

    if keyed:
        return lambda at: caches.keys.visible(entry(at), step)
    if pick is None:
        return entry
    chosen = pick
    return lambda at: chosen(entry(at))


def _each(first: int | Tensor, n: int) -> list[int]:
    return [first] * n if isinstance(first, int) else [int(i) for i in first]


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
