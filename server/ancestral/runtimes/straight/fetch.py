"""How a straight line reads operands: rings at computed addresses, tables at the slots' sites."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ancestral.compile.place import Ints, Table
from ancestral.compile.step import Read, Step
from ancestral.runtimes.caches import Caches
from ancestral.runtimes.kernels import split
from ancestral.runtimes.straight.addresses import Addresses
from ancestral.runtimes.straight.state import State, ring_name
from ancestral.runtimes.tables import site_axes

Fetch = Callable[[State], Tensor]
Pick = Callable[[Tensor], Tensor]


def fetch(
    caches: Caches, addresses: Addresses, read: Read, step: Step, elements: Ints | None = None
) -> Fetch:
    """An operand off the rings, or off this very step: [n, (columns,) payload]."""
    pmap = read.pmap
    if elements is not None:
        pmap = elements if pmap is None else pmap[elements]
    pick = picker(pmap, caches.device)
    if read.direct:
        name = read.source
        return (lambda s: s.regs[name]) if pick is None else (lambda s: pick(s.regs[name]))
    source = caches.sources[read.source]
    if source.space == "grid" and step.space == "flat":
        taken = _wrapped(caches, source, read)
    else:
        taken = _at_taps(caches, addresses, source, read, step)
    if pick is None:
        return taken
    count, width = len(read.taps), source.payload
    if count == 1:
        return lambda s: pick(taken(s))
    return lambda s: pick(split(taken(s), count, width)).flatten(-2)


def _at_taps(caches: Caches, addresses: Addresses, source: Step, read: Read, step: Step) -> Fetch:
    name, taps = ring_name(source.name), read.taps
    lags = [(lag, offset if source.space == "grid" else 0) for lag, offset in taps]
    piece = addresses.add(source, caches.rings[source.name].shape[1], lags)
    payload = len(taps) * source.payload
    if step.phase == "row":
        columns = torch.arange(step.extent[1], device=caches.device)[None, :, None]

        def read_row(s: State) -> Tensor:
            index = (s.pieces[piece][:, None] + columns).reshape(-1)
            rows = s.stores[name].index_select(0, index)
            return rows.reshape(-1, step.extent[1], payload)

        return read_row
    if len(taps) == 1:
        return lambda s: s.stores[name].index_select(0, s.pieces[piece].reshape(-1))
    return lambda s: (
        s.stores[name].index_select(0, s.pieces[piece].reshape(-1)).reshape(-1, payload)
    )


def _wrapped(caches: Caches, source: Step, read: Read) -> Fetch:
    """A raster rank's neighbour on the grid: it may lie at the end of the row above."""
    name, ring = ring_name(source.name), source.ring
    assert ring is not None
    length, columns = ring.length, caches.program.columns
    width = ring.left + source.extent[1] + ring.right
    ((lag, offset),) = read.taps

    def read_tap(s: State) -> Tensor:
        moved = s.at.column + offset
        rows = torch.div(moved, columns, rounding_mode="floor")
        row = torch.remainder(s.at.row_clock + rows - lag, length)
        inside = row * width + ring.left + moved - rows * columns
        return s.stores[name].index_select(0, s.at.slot * (length * width) + inside)

    return read_tap


def lookup(
    caches: Caches, names: dict[int, str], table: Table, step: Step, elements: Ints | None = None
) -> Fetch:
    """An operand known before sampling, at the slots' own sites: [n or 1, (columns,) payload].

    With a key axis: [n or 1, payload, keys], for all keys that there is room for.
    """
    name, axes, item = names[id(table)], site_axes(table), table.fixed.item
    entry = _entry(name, axes, item, step, caches.program.columns)
    pick = None if elements is None else picker(elements, caches.device)
    return entry if pick is None else lambda s: pick(entry(s))


def _entry(name: str, axes: tuple[str, ...], item: bool, step: Step, columns: int) -> Fetch:
    row_lead, col_lead = step.lead
    in_row = step.phase == "row"

    def taken(s: State, *index: Tensor) -> Tensor:
        """The store at indices of its site axes, all of one shape."""
        store = s.statics[name]
        if item:
            slot = s.at.slot if index[0].dim() == 1 else s.at.slot[:, None]
            return store[(slot, *index)]
        if len(index) == 1 and index[0].dim() == 1:
            return store.index_select(0, index[0])
        return store[index]

    def everywhere(s: State) -> Tensor:
        return s.statics[name][:, None] if item and in_row else s.statics[name]

    def by_rank(s: State) -> Tensor:
        return taken(s, (s.at.rank - col_lead).clamp_min(0))

    def row(s: State) -> Tensor:
        rows = torch.div(s.at.rank, columns, rounding_mode="floor") - row_lead
        return rows.clamp_min(0)

    def raster(s: State) -> Tensor:
        """A table of raster ranks met on the grid."""
        if in_row:
            inside = torch.arange(columns, device=s.at.slot.device)
            return taken(s, row(s)[:, None] * columns + inside)
        return taken(s, (row(s) * columns + s.at.column - col_lead).clamp_min(0))

    def column(s: State) -> Tensor:
        most = s.statics[name].shape[len(axes) - 1 + int(item)] - 1
        return (s.at.column - col_lead).clamp(0, most)

    def by_row(s: State) -> Tensor:
        found = taken(s, row(s))
        return found[:, None] if in_row else found

    def by_column(s: State) -> Tensor:
        store = s.statics[name]
        if in_row:
            return store
        found = store.index_select(int(item), column(s).reshape(1))
        return found.squeeze(1) if item else found

    def by_both(s: State) -> Tensor:
        rows = row(s)
        return taken(s, rows) if in_row else taken(s, rows, column(s) + torch.zeros_like(rows))

    if not axes:
        return everywhere
    if axes == ("flat",):
        return by_rank if step.space == "flat" else raster
    return {("row",): by_row, ("col",): by_column, ("row", "col"): by_both}[axes]


def picker(pmap: Ints | None, device: torch.device) -> Pick | None:
    """Select payload elements: a slice where they are consecutive, a gather where not."""
    if pmap is None:
        return None
    first, count = int(pmap[0]), pmap.size
    if (pmap == np.arange(first, first + count)).all():
        return lambda x: x[..., first : first + count]
    index = torch.from_numpy(pmap.copy()).to(device)
    return lambda x: x.index_select(-1, index)
