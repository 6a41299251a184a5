"""Several cores: the slots of a running batch in parts, each stepped by a thread of its own.

Compiled code runs without the interpreter lock, so that parts advance at the same time. Nothing is
shared between slots but the weights, of which a process has one copy: values are the same however
many threads there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache

import torch

from ancestral.runtimes.base import Advance, Runtime, SlotRequest
from ancestral.runtimes.threads import one_thread


@cache
def _threads(count: int) -> ThreadPoolExecutor:
    """The process's threads for that many cores; torch itself stays on one in each."""
    return ThreadPoolExecutor(
        count, thread_name_prefix="ancestral-core", initializer=torch.set_num_threads, initargs=(1,)
    )


class SpreadRuntime:
    """A `Runtime` of as many parts as there are cores to use; a slot joins the emptiest part."""

    def __init__(self, slots: int, cores: int, make: Callable[[int], Runtime]) -> None:
        count = min(cores, slots)
        sizes = [slots // count + (part < slots % count) for part in range(count)]
        self._parts = [make(size) for size in sizes]
        self._slots: list[tuple[int, int] | None] = [None] * slots  # (part, its slot)

    @property
    def name(self) -> str:
        return self._parts[0].name

    @property
    def slots(self) -> int:
        return len(self._slots)

    @property
    def free(self) -> int:
        return self._slots.count(None)

    @property
    def derived(self) -> bool:
        return self._parts[0].derived

    @property
    def phase_sites(self) -> int:
        return self._parts[0].phase_sites

    @property
    def weights(self) -> list[torch.Tensor]:
        return [tensor for part in self._parts for tensor in part.weights]

    def slot_bytes(self, sites: int) -> int:
        return self._parts[0].slot_bytes(sites)

    def open(self, request: SlotRequest) -> int:
        if self.free == 0:
            raise RuntimeError(f"all {self.slots} slots are taken")
        taken = [sum(place[0] == part for place in self._slots if place is not None)
                 for part in range(len(self._parts))]  # fmt: skip
        part = min(
            (p for p, runtime in enumerate(self._parts) if runtime.free), key=taken.__getitem__
        )
        inner = self._parts[part].open(request)
        slot = self._slots.index(None)
        self._slots[slot] = (part, inner)
        return slot

    def step(self, count: int) -> Sequence[Advance]:
        outer = {place: slot for slot, place in enumerate(self._slots) if place is not None}
        first, *others = sorted({part for part, _ in outer}) or [0]
        pool = _threads(len(self._parts))
        with one_thread():
            running = [pool.submit(self._parts[part].step, count) for part in others]
            found = [(first, self._parts[first].step(count))]
            found += [(part, job.result()) for part, job in zip(others, running, strict=True)]
        advances = [
            replace(advance, slot=outer[part, advance.slot])
            for part, some in found
            for advance in some
        ]
        return sorted(advances, key=lambda advance: advance.slot)

    def close(self, slot: int) -> None:
        place = self._slots[slot]
        if place is None:
            raise ValueError(f"slot {slot} is not open")
        self._parts[place[0]].close(place[1])
        self._slots[slot] = None
