"""The places of a running batch: who holds them, what they cost, what they have gained."""

from __future__ import annotations

from collections.abc import Iterator

from ancestral.engine.frames import Frames
from ancestral.engine.model import Model
from ancestral.engine.work import Item, Work
from ancestral.runtimes.base import Advance, Runtime


class Places:
    """The slots of a runtime. Their caches take `allowed` bytes at most."""

    def __init__(self, model: Model, slots: int, allowed: int) -> None:
        self._model, self._slots, self.allowed = model, slots, allowed
        self.anew()

    def anew(self) -> None:
        """Another runtime, without sequences; what was not taken yet is drawn again."""
        self.runtime: Runtime = self.another()
        self._longest = 0  # sites, since the runtime was made: its caches have grown to that
        self._costs: dict[int, int] = {}  # bytes of a slot, by sites
        self._works: dict[int, Work] = {}
        self._bytes: dict[int, int] = {}
        self._left: dict[int, int] = {}  # sites to go
        self._frames = Frames()

    def another(self) -> Runtime:
        """A runtime of so many slots."""
        return self._model.new_runtime(self._slots)

    def __len__(self) -> int:
        return len(self._works)

    def __iter__(self) -> Iterator[Work]:
        """The jobs that hold places, each once."""
        return iter(list(dict.fromkeys(self._works.values())))

    @property
    def free(self) -> int:
        return self.runtime.free

    @property
    def bytes(self) -> int:
        """Of the caches of those that are taken, each as large as the longest has made it."""
        return len(self) * self.cost(max(1, self._longest))

    @property
    def own_bytes(self) -> int:
        """Of the caches that the sequences need by their own length."""
        return sum(self._bytes.values())

    @property
    def shortest(self) -> int:
        """Sites of the shortest item."""
        return min(work.request.sites for work in self._works.values())

    @property
    def left(self) -> int:
        """Sites until the next item ends."""
        return min(self._left.values())

    def cost(self, sites: int) -> int:
        """Bytes of a slot for an item of that length."""
        if sites not in self._costs:
            self._costs[sites] = self.runtime.slot_bytes(sites)
        return self._costs[sites]

    def fits(self, sites: int) -> bool:
        """Whether one more item of that length finds room; each slot is as large as the longest."""
        if not self._works and self._longest > max(sites, self._model.default_sites):
            self.runtime = self.another()  # what it grew by is freed
            self._longest = 0
        each = self.cost(max(sites, self._longest))
        return (len(self) + 1) * each <= self.allowed

    def open(self, work: Work, item: Item) -> None:
        """Give an item a place, which must be free. Raises what the runtime has against it."""
        sites = work.request.sites
        self._longest = max(self._longest, sites)
        slot = self.runtime.open(work.slot_request(item))
        work.running[slot] = item
        self._works[slot] = work
        self._bytes[slot] = self.cost(sites)
        self._left[slot] = sites

    def keep(self, advance: Advance) -> bool:
        """Put by what a slot gained; whether it should be told at once."""
        self._frames.add(advance)
        reached = advance.first_site + len(advance.values)
        work = self._works[advance.slot]
        self._left[advance.slot] = work.request.sites - reached
        new = reached > work.running[advance.slot].site
        return advance.done or (new and work.last_output is None)

    def ended(self, slot: int) -> bool:
        """Whether its item has reached its end."""
        return self._left[slot] == 0

    def take(self, slot: int) -> Advance | None:
        """What a slot has gained since the last call."""
        return self._frames.take(slot)

    def close(self, slot: int) -> None:
        """Give a place back, with what was not taken."""
        self._works.pop(slot).running.pop(slot)
        self.runtime.close(slot)
        self._frames.take(slot)
        del self._bytes[slot], self._left[slot]
