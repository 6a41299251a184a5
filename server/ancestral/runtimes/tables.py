"""Operands known before sampling: constants by site, and what depends on the condition only."""

from __future__ import annotations

from collections import OrderedDict
from math import prod

import torch
from torch import Tensor

from ancestral.compile.graph import Graph
from ancestral.compile.place import Table
from ancestral.compile.program import StepProgram

LABELS = 16  # whose tables are kept


class Tables:
    """The constants of a program by site, and each slot's values that follow from its condition."""

    def __init__(
        self,
        program: StepProgram,
        graph: Graph,
        slots: int,
        codes: torch.dtype,
        device: torch.device,
    ) -> None:
        self._program, self._graph = program, graph
        self._slots, self._codes, self._device = slots, codes, device
        self._tables = tables_of(program)
        self._constants: dict[int, Tensor] = {}
        self.items: dict[int, Tensor] = {}  # [slots, ...]
        self._labelled: OrderedDict[tuple[int, ...], dict[int, Tensor]] = OrderedDict()

    def read_constants(self, sites: int) -> None:
        """Evaluate what follows from the weights, for items of up to that many sites."""
        constant = [t for t in self._tables if not t.fixed.item]
        if not constant:
            return
        inputs = [self._blank(sites), *(None for _ in self._graph.inputs[1:])]
        found = self._graph.run(inputs, {t.fixed.name for t in constant})
        for table in constant:
            self._constants[id(table)] = by_site(found[table.fixed.name], table).contiguous()

    def read_items(self, at: int, conditions: tuple[Tensor, ...], sites: int) -> None:
        """Evaluate what follows from a slot's condition, once for its item."""
        items = [t for t in self._tables if t.fixed.item]
        if not items:
            return
        found = self._evaluated(items, conditions, sites)
        for table in items:
            tensor = found[id(table)]
            open_length = site_axes(table) == ("flat",)
            store = self.items.get(id(table))
            if store is None or (open_length and store.shape[1] < len(tensor)):
                grown = tensor.new_zeros((self._slots, *tensor.shape))
                if store is not None:
                    grown[:, : store.shape[1]] = store
                self.items[id(table)] = store = grown
            if open_length:
                store[at, : len(tensor)] = tensor
            else:
                store[at] = tensor

    def _evaluated(
        self, tables: list[Table], conditions: tuple[Tensor, ...], sites: int
    ) -> dict[int, Tensor]:
        """By site; those of the labels that came last are kept, for they come again."""
        labels = all(c.numel() == 1 and not c.is_floating_point() for c in conditions)
        key = (sites, *(int(c) for c in conditions)) if labels else ()
        if key in self._labelled:
            self._labelled.move_to_end(key)
            return self._labelled[key]
        names = {table.fixed.name for table in tables}
        run = self._graph.run([self._blank(sites), *conditions], names)
        found = {id(table): by_site(run[table.fixed.name], table) for table in tables}
        if labels:
            self._labelled[key] = found
            while len(self._labelled) > LABELS:
                self._labelled.popitem(last=False)
        return found

    def store(self, table: Table) -> Tensor:
        """[sites..., payload], behind a slot axis where the table follows from the condition."""
        return (self.items if table.fixed.item else self._constants)[id(table)]

    def known(self, table: Table) -> Tensor | None:
        """The same, or None while nothing has been evaluated."""
        return (self.items if table.fixed.item else self._constants).get(id(table))

    def fill(self, fill: float | Table, at: int) -> float | Tensor:
        """What one slot finds where a value is not defined."""
        if not isinstance(fill, Table):
            return fill
        return self.items[id(fill)][at] if fill.fixed.item else self._constants[id(fill)]

    def _blank(self, sites: int) -> Tensor:
        """Codes of batch one; only their shape matters."""
        program = self._program
        shape = [1, sites]
        if program.steps[0].attrs["image"]:
            shape = [1, program.channels, program.rows, program.columns]
        return torch.zeros(shape, dtype=self._codes, device=self._device)


def by_site(tensor: Tensor, table: Table) -> Tensor:
    """The tensor as [sites..., payload] or, with a key axis, [sites..., payload, keys].

    Site axes come in the order row, column (or flat); of a batch axis the first element is taken.
    """
    missing = tensor.dim() - len(table.axes)
    axes = ("one",) * missing + table.axes
    for i, axis in enumerate(axes):
        if axis == "batch":
            tensor = tensor.narrow(i, 0, 1)
    sites = [i for kind in ("row", "col", "flat") for i, a in enumerate(axes) if a == kind]
    keys = [i for i, a in enumerate(axes) if a == "key"]
    rest = [i for i, a in enumerate(axes) if i not in sites and i not in keys]
    tensor = tensor.permute(*sites, *rest, *keys)
    lead = [tensor.shape[i] for i in range(len(sites))]
    tail = [tensor.shape[-1]] if keys else []
    payload = prod(tensor.shape[len(sites) : tensor.dim() - len(keys)])
    tensor = tensor.reshape(*lead, payload, *tail)
    if keys and payload == 1:
        return tensor
    index = torch.from_numpy(table.index.copy()).to(tensor.device)
    return tensor.index_select(len(sites), index)


def site_axes(table: Table) -> tuple[str, ...]:
    return tuple(k for k in ("row", "col", "flat") if k in table.axes)


def tables_of(program: StepProgram) -> list[Table]:
    """Every table the program's steps read, fills included."""
    found: list[Table] = []
    for step in program.steps:
        found += [o for o in step.operands if isinstance(o, Table)]
        if isinstance(step.fill, Table):
            found.append(step.fill)
    return found
