"""What one site reads and writes: caches, tables and where the slots stand, all of them tensors."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ancestral.runtimes.caches import Caches
from ancestral.runtimes.places import Places
from ancestral.runtimes.tables import by_site, tables_of


@dataclass(slots=True)
class Where:
    """Where the running slots stand: `slot` and `rank` [n], the shared clocks and column []; int64.

    `keys` [capacity] counts the places for keys from 0.
    """

    slot: Tensor
    rank: Tensor
    clock: Tensor
    row_clock: Tensor
    column: Tensor
    keys: Tensor

    def tensors(self) -> dict[str, Tensor]:
        return {f"at/{name}": getattr(self, name) for name in self.__slots__}


@dataclass(slots=True)
class State:
    """One site at work. `stores` are the caches of n slots, replaced or overwritten by `write`.

    ring/NAME             [n · places, payload]
    keys/NAME/OPERAND     [n, heads, capacity, width]
    table/I               a constant by site, or [n, ...] where it follows from the condition
    places/NAME/...       where a sparse attention finds its keys
    """

    stores: dict[str, Tensor]
    statics: dict[str, Tensor]
    at: Where
    in_place: bool = False
    regs: dict[str, Tensor] = field(default_factory=dict)
    pieces: tuple[Tensor, ...] = ()  # the addresses of this site's reads and writes

    def write(self, name: str, index: Tensor, rows: Tensor) -> None:
        """Rows of a ring."""
        store = self.stores[name]
        rows = rows.to(store.dtype)
        if self.in_place:
            store.index_copy_(0, index, rows)
        else:
            self.stores[name] = store.index_copy(0, index, rows)

    def put(self, name: str, index: tuple[Tensor, ...], values: Tensor) -> None:
        """Elements of a cache of keys."""
        store = self.stores[name]
        if self.in_place:
            store.index_put_(index, values)
        else:
            self.stores[name] = store.index_put(index, values)


def ring_name(step: str) -> str:
    return f"ring/{step}"


def key_name(step: str, operand: int) -> str:
    return f"keys/{step}/{operand}"


def stores_of(caches: Caches, n: int) -> dict[str, Tensor]:
    """Views of the caches of the first n slots."""
    found = {ring_name(k): r[:n].view(-1, r.shape[-1]) for k, r in caches.rings.items()}
    found |= {key_name(*k): store[:n] for k, store in caches.keys.by_step().items()}
    return found


def statics_of(caches: Caches, n: int) -> dict[str, Tensor]:
    """Views of what does not change while slots run."""
    found: dict[str, Tensor] = {}
    for i, table in enumerate(tables_of(caches.program)):
        store = caches.tables.known(table)
        if store is not None:
            found[f"table/{i}"] = store[:n] if table.fixed.item else store
    for name, places in caches.keys.sparse().items():
        found |= {f"places/{name}/{k}": v for k, v in _lists(places).items()}
    return found


def _lists(places: Places) -> dict[str, Tensor]:
    """`place` of each key; for each query the `places` and `keys` it reads, and how many.

    `order` counts the longest list from 0; `last` and `final` are the last query and key.
    """
    rows, keys, counts = places.lists()
    order = torch.arange(rows.shape[1], device=rows.device)
    place = places.place_index
    last = torch.tensor(len(counts) - 1, device=rows.device)
    final = torch.tensor(len(place) - 1, device=rows.device)
    found = {"place": place, "places": rows, "keys": keys, "counts": counts, "order": order}
    return {**found, "last": last, "final": final}


def table_names(caches: Caches) -> dict[int, str]:
    """The name of each table, by its identity."""
    found: dict[int, str] = {}
    for i, table in enumerate(tables_of(caches.program)):
        found[id(table)] = f"table/{i}"
    return found


def where_of(caches: Caches, n: int, slot: Tensor, keys: Tensor) -> Where:
    """The batch's positions as tensors."""
    stand = caches.stand

    def number(value: int) -> Tensor:
        return torch.tensor(value, device=stand.device)

    rank = torch.tensor(stand.ranks[:n], dtype=torch.int64, device=stand.device)
    column = number(stand.column)
    return Where(slot[:n], rank, number(stand.clock), number(stand.row_clock), column, keys)


def blank(caches: Caches, n: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Stores and statics of n slots as zeros, whatever has been opened: examples for a tracer."""
    stores = {
        name: torch.zeros((n * (len(t) // caches.slots), *t.shape[1:]), dtype=t.dtype)
        for name, t in stores_of(caches, caches.slots).items()
    }
    statics = {k: v for k, v in statics_of(caches, 1).items() if k.startswith("places/")}
    for i, table in enumerate(tables_of(caches.program)):
        real = table.fixed.tensor.is_floating_point()
        tensor = by_site(table.fixed.tensor.to(caches.dtype if real else None), table)
        shape = (n, *tensor.shape) if table.fixed.item else tensor.shape
        statics[f"table/{i}"] = torch.zeros(shape, dtype=tensor.dtype)
    return stores, statics
