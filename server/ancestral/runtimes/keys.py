"""Key and value caches of attention: what each slot's past positions offer.

Dense attention keeps the key of every position. Where a mask leaves few keys to each query, a cache
holds the keys that a later query still reads, and a step gathers those of its own query.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ancestral.compile.place import Ints
from ancestral.compile.program import StepProgram
from ancestral.compile.sparsity import root
from ancestral.compile.step import ATTENTION, Read, Step
from ancestral.runtimes.places import Places
from ancestral.runtimes.stand import Stand


class Running(Protocol):
    """How many slots run, and their ranks."""

    @property
    def n(self) -> int: ...
    @property
    def ranks(self) -> Sequence[int] | Ints: ...


class KeyCaches:
    """Per attention step, what its keys (and values) were: [slots, heads, places, width].

    Dense, key j is at place j. Memory holds whole multiples of `lanes` places and widths.
    """

    def __init__(
        self,
        program: StepProgram,
        slots: int,
        dtype: torch.dtype,
        device: torch.device,
        lanes: int = 1,
    ) -> None:
        self._lanes = lanes
        self._program = program
        self._steps = [s for s in program.steps if s.kind in ATTENTION]
        self._sources = {s.name: s for s in program.steps}
        self._shape = (slots, dtype, device)
        self._stores: dict[tuple[str, int], Tensor] = {}
        self._places: dict[str, Places] = {}  # of the steps that are sparse
        keyed = [s for s in program.steps if s.keyed]
        roots = {s.name: root(self._sources, s) for s in (*self._steps, *keyed)}
        self._roots = {name: found.name for name, found in roots.items() if found}
        self.capacity = 0

    def operands(self, step: Step) -> list[tuple[int, Read]]:
        """The operands that are cached: all but the first."""
        return [(i, o) for i, o in enumerate(step.operands) if i and isinstance(o, Read)]

    def width(self, step: Step, operand: int) -> int:
        last = step.kind == "attend" and operand == 2
        return int(step.attrs["value_width"] if last else step.attrs["width"])

    def reserve(self, sites: int, at: Running) -> None:
        """Make room for items of that many sites; what running slots hold moves to its place."""
        if sites <= self.capacity:
            return
        slots, dtype, device = self._shape
        for step in self._steps:
            before = self._places.pop(step.name, None)
            pattern = self._program.pattern(step, sites)
            if pattern is not None:
                self._places[step.name] = Places(pattern, step.attrs["reach"], device)
            after = self._places.get(step.name)
            capacity = sites if after is None else after.capacity
            for i, _ in self.operands(step):
                shape = (capacity, self.width(step, i))
                whole = [self._whole(size) for size in shape]
                grown = torch.zeros(slots, step.attrs["heads"], *whole, dtype=dtype, device=device)
                grown = grown[:, :, : shape[0], : shape[1]]
                old = self._stores.get((step.name, i))
                if old is not None and before is None and after is None:
                    grown[:, :, : old.shape[2]] = old
                elif old is not None:
                    for slot, rank in enumerate(at.ranks[: at.n]):
                        query = int(rank) - 1 - step.lead[1]
                        _move(old[slot], grown[slot], before, after, query, step.attrs["reach"])
                self._stores[step.name, i] = grown
        self.capacity = sites

    def _whole(self, size: int) -> int:
        return -(-size // self._lanes) * self._lanes

    def places(self, step: Step) -> Places | None:
        """Where the keys that a keyed step reads are stored; None where all are, in order."""
        own = self._places.get(step.name)
        return own or self._places.get(self._roots.get(step.name, step.name))

    def store(self, step: Step, operand: int) -> Tensor:
        return self._stores[step.name, operand]

    def stores(self) -> list[Tensor]:
        return list(self._stores.values())

    def by_step(self) -> dict[tuple[str, int], Tensor]:
        """The stores by step and operand."""
        return dict(self._stores)

    def sparse(self) -> dict[str, Places]:
        """Where the keys of the steps that are sparse lie."""
        return dict(self._places)

    def root(self, step: Step) -> Step:
        """The attention step whose keys a step's results range over."""
        return self._sources[self._roots.get(step.name, step.name)]

    def slot_bytes(self, sites: int) -> int:
        size = torch.empty(0, dtype=self._shape[1]).element_size()
        return sum(
            self._whole(self._program.keys_kept(step, sites))
            * step.attrs["heads"]
            * self._whole(self.width(step, i))
            * size
            for step in self._steps
            for i, _ in self.operands(step)
        )

    def prefill(self, at: int, found: dict[str, Tensor], rank: int) -> None:
        """Fill a slot's caches with the keys that sites before `rank` have appended."""
        for step in self._steps:
            reach, lead = step.attrs["reach"], step.lead[1]
            places = self._places.get(step.name)
            for i, read in self.operands(step):
                source = found[read.source]
                pick = source if read.pmap is None else source[:, torch.from_numpy(read.pmap)]
                store = self.store(step, i)[at]
                # key j is element j + shift of its source, appended at rank j − reach + lead
                shift = lead - self._sources[read.source].lead[1] - reach - read.taps[0][0]
                last = min(rank - lead + reach, self.capacity, len(pick) - shift)
                keys = np.arange(max(-shift, 0), max(last, 0))
                if places is not None:
                    alive = places.alive(rank - 1 - lead)
                    keys = alive[(alive >= -shift) & (alive < len(pick) - shift)]
                where = torch.from_numpy(keys if places is None else places.place[keys])
                chosen = pick[torch.from_numpy(keys + shift)]
                chosen = chosen.reshape(len(keys), store.shape[0], store.shape[2])
                store[:, where] = chosen.transpose(0, 1)

    # ------------------------------------------------------------------ at a site

    def _rows(self, at: Stand, step: Step) -> tuple[Tensor, Tensor, Tensor | None] | None:
        """The places, keys and validity of the slots' own queries; None where dense."""
        places = self.places(step)
        name = self._roots.get(step.name, step.name)
        return None if places is None else places.rows(at.rank(-self._sources[name].lead[1]))

    def visible(self, at: Stand, entry: Tensor, step: Step) -> Tensor:
        """A table's row of keys, cut to those that are read: [1 or slots, heads or 1, keys]."""
        entry = entry if entry.dim() == 3 else entry[None]
        rows = self._rows(at, step)
        if rows is None:
            return entry[..., : self._length]
        if rows[1].dim() == 1:
            return entry.index_select(-1, rows[1])
        index = rows[1][:, None].expand(-1, entry.shape[1], -1)
        return entry.expand(at.n, -1, -1).gather(-1, index)

    _length = 0

    def append(self, at: Stand, step: Step, operand: int, value: Tensor) -> Tensor:
        """Add this site's key and return those that are read: [slots, heads, keys, width]."""
        store = self.store(step, operand)
        _, heads, _, width = store.shape
        value = value.reshape(at.n, heads, width)
        newest = step.attrs["reach"] - step.lead[1]
        places = self._places.get(step.name)
        if places is not None:
            return self._append_sparse(at, step, store, value, places)
        highest = max(at.ranks[: at.n]) + newest
        if at.uniform:
            if highest >= 0:
                store[: at.n, :, highest] = value
        else:
            index = at.rank_index + newest
            rows = torch.arange(at.n, device=at.device)
            keep = index >= 0
            store[rows[keep], :, index[keep]] = value[keep]
        self._length = min(max(highest + 1, 1), store.shape[2])
        return store[: at.n, :, : self._length]

    def _append_sparse(
        self, at: Stand, step: Step, store: Tensor, value: Tensor, places: Places
    ) -> Tensor:
        newest = step.attrs["reach"] - step.lead[1]
        if at.uniform:
            key = at.ranks[0] + newest
            place = int(places.place[key]) if 0 <= key < len(places.place) else -1
            if place >= 0:
                store[: at.n, :, place] = value
        else:
            index = at.rank_index + newest
            at_place = places.place_index[index.clamp(0, len(places.place) - 1)]
            keep = (index >= 0) & (index < len(places.place)) & (at_place >= 0)
            slots = torch.arange(at.n, device=at.device)
            store[slots[keep], :, at_place[keep]] = value[keep]
        chosen, _, _ = places.rows(at.rank(-step.lead[1]))
        if chosen.dim() == 1:
            return store[: at.n].index_select(2, chosen)
        _, heads, _, width = store.shape
        return store[: at.n].gather(2, chosen[:, None, :, None].expand(-1, heads, -1, width))

    def past(self, at: Stand, step: Step) -> Tensor | None:
        """Which keys each slot has, [slots, 1, keys]; None where all of them have all."""
        if at.uniform:
            return None
        valid = self.valid(at, step)
        if valid is not None:
            return valid
        newest = at.rank_index + (step.attrs["reach"] - step.lead[1])
        seen: Tensor = torch.arange(self._length, device=at.device) <= newest[:, None]
        return seen[:, None]

    def valid(self, at: Stand, step: Step) -> Tensor | None:
        """Which of the gathered keys are the slots' own, [slots, 1, keys]; None where all are."""
        rows = self._rows(at, step)
        return None if rows is None or rows[2] is None else rows[2][:, None]


def _move(
    old: Tensor, new: Tensor, before: Places | None, after: Places | None, query: int, reach: int
) -> None:
    """One slot's keys [heads, places, width] from the places of one pattern to another's."""
    if after is not None:
        keys = after.alive(query)
    elif before is not None:
        keys = before.alive(query)
    else:
        return
    if before is not None:
        keys = keys[keys < len(before.place)]
        keys = keys[before.place[keys] >= 0]
        keys = keys[before.pattern.last[keys] > query]
    keys = keys[keys < (old.shape[1] if before is None else len(before.place))]
    source = keys if before is None else before.place[keys]
    target = keys if after is None else after.place[keys]
    new[:, torch.from_numpy(target)] = old[:, torch.from_numpy(source)]
