"""Key and value caches of attention: what each slot's past positions offer."""

from __future__ import annotations

import torch
from torch import Tensor

from ancestral.compile.program import Read, Step, StepProgram
from ancestral.runtimes.stand import Stand

ATTENTION = ("scores", "mix", "attend")


class KeyCaches:
    """Per attention step, what its keys (and values) were: [slots, heads, sites, width]."""

    def __init__(
        self, program: StepProgram, slots: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self._steps = [s for s in program.steps if s.kind in ATTENTION]
        self._sources = {s.name: s for s in program.steps}
        self._shape = (slots, dtype, device)
        self._stores: dict[tuple[str, int], Tensor] = {}
        self.capacity = 0

    def operands(self, step: Step) -> list[tuple[int, Read]]:
        """The operands that are cached: all but the first."""
        return [(i, o) for i, o in enumerate(step.operands) if i and isinstance(o, Read)]

    def width(self, step: Step, operand: int) -> int:
        last = step.kind == "attend" and operand == 2
        return int(step.attrs["value_width"] if last else step.attrs["width"])

    def reserve(self, sites: int) -> None:
        if sites <= self.capacity:
            return
        slots, dtype, device = self._shape
        for step in self._steps:
            for i, _ in self.operands(step):
                shape = (slots, step.attrs["heads"], sites, self.width(step, i))
                grown = torch.zeros(shape, dtype=dtype, device=device)
                old = self._stores.get((step.name, i))
                if old is not None:
                    grown[:, :, : old.shape[2]] = old
                self._stores[step.name, i] = grown
        self.capacity = sites

    def store(self, step: Step, operand: int) -> Tensor:
        return self._stores[step.name, operand]

    def stores(self) -> list[Tensor]:
        return list(self._stores.values())

    def slot_bytes(self, sites: int) -> int:
        size = torch.empty(0, dtype=self._shape[1]).element_size()
        return sum(
            sites * step.attrs["heads"] * self.width(step, i) * size
            for step in self._steps
            for i, _ in self.operands(step)
        )

    def prefill(self, at: int, found: dict[str, Tensor], rank: int) -> None:
        """Fill a slot's caches with the keys that sites before `rank` have appended."""
        for step in self._steps:
            reach, lead = step.attrs["reach"], step.lead[1]
            for i, read in self.operands(step):
                source = found[read.source]
                pick = source if read.pmap is None else source[:, torch.from_numpy(read.pmap)]
                store = self.store(step, i)
                # key j is element j + shift of its source, appended at rank j − reach + lead
                shift = lead - self._sources[read.source].lead[1] - reach - read.taps[0][0]
                last = min(rank - lead + reach, store.shape[2])
                for j in range(max(-shift, 0), max(last, 0)):
                    if j + shift < len(pick):
                        store[at, :, j] = pick[j + shift].reshape(store.shape[1], store.shape[3])

    def visible(self, entry: Tensor, step: Step) -> Tensor:
        """A table's row of keys, cut to those that exist: [1 or slots, heads or 1, keys]."""
        entry = entry if entry.dim() == 3 else entry[None]
        return entry[..., : self._length]

    _length = 0

    def append(self, at: Stand, step: Step, operand: int, value: Tensor) -> Tensor:
        """Add this site's key and return all of them: [slots, heads, keys, width]."""
        store = self.store(step, operand)
        _, heads, _, width = store.shape
        value = value.reshape(at.n, heads, width)
        newest = step.attrs["reach"] - step.lead[1]
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

    def past(self, at: Stand, step: Step) -> Tensor | None:
        """Which keys each slot has, [slots, 1, keys]; None where all of them have all."""
        if at.uniform:
            return None
        newest = at.rank_index + (step.attrs["reach"] - step.lead[1])
        seen: Tensor = torch.arange(self._length, device=at.device) <= newest[:, None]
        return seen[:, None]
