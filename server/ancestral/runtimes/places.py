"""Where the keys of a sparse attention are stored, and for how long."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import torch
from torch import Tensor

from ancestral.compile.place import Ints
from ancestral.compile.sparsity import Pattern


class Places:
    """Storage places by lifetime: a key has one while a later query still reads it.

    Key j is appended when query j − `reach` is answered. `capacity` is the most keys that are alive
    at once.
    """

    def __init__(self, pattern: Pattern, reach: int, device: torch.device) -> None:
        self.pattern, self.reach = pattern, reach
        self.place, self.capacity = allocate(pattern.last, reach)
        places = np.maximum(self.place[pattern.keys], 0)
        self.counts: list[int] = pattern.counts.tolist()
        self.place_index = torch.from_numpy(self.place).to(device)
        self._places = torch.from_numpy(places).to(device)
        self._keys = torch.from_numpy(pattern.keys).to(device)
        self._counts = torch.from_numpy(pattern.counts).to(device)

    def rows(self, query: int | Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """For one query, or one of each slot: places, keys and which of them are valid.

        [keys], [keys] and None, or [slots, keys] each.
        """
        if isinstance(query, int):
            query = min(query, len(self.counts) - 1)
            count = self.counts[query]
            return self._places[query, :count], self._keys[query, :count], None
        query = query.clamp_max(len(self.counts) - 1)
        counts = self._counts[query]
        most = int(counts.max())
        valid = torch.arange(most, device=counts.device) < counts[:, None]
        return self._places[query, :most], self._keys[query, :most], valid

    def lists(self) -> tuple[Tensor, Tensor, Tensor]:
        """Of every query: places and keys [queries, most], and how many of them are its own."""
        return self._places, self._keys, self._counts

    def alive(self, query: int) -> Ints:
        """The keys that are stored once `query` is answered and that a later query reads."""
        known = np.arange(len(self.place)) <= query + self.reach
        return np.flatnonzero(known & (self.pattern.last > query))


def allocate(last: Ints, reach: int) -> tuple[Ints, int]:
    """A place for every key, −1 for those that nothing reads, and how many places there are.

    Greedy over the queries: a place is free again after the last query that reads its key.
    """
    place = np.full(len(last), -1, dtype=np.int64)
    free: list[int] = []
    leaving: dict[int, list[int]] = defaultdict(list)
    capacity = 0
    for key in range(len(last)):
        query = max(key - reach, 0)
        free += leaving.pop(query - 1, [])
        if last[key] < query:
            continue
        if not free:
            free.append(capacity)
            capacity += 1
        place[key] = free.pop()
        leaving[int(last[key])].append(int(place[key]))
    return place, capacity
