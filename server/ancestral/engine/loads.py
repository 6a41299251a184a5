"""The packages that a worker is about to load: one at a time, beside the running batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ancestral.broker import Delivery

Loaded = TypeVar("Loaded")


@dataclass(slots=True)
class Load(Generic[Loaded]):
    """One package; `waiting` are the jobs that asked for it, none where it is loaded ahead."""

    label: str
    waiting: list[Delivery] = field(default_factory=list)
    future: Future[Loaded] | None = None


class Loads(Generic[Loaded]):
    """Those that somebody waits for come before the others; `wake` is called at the end of each."""

    def __init__(self, load: Callable[[str], Loaded], wake: Callable[[], None]) -> None:
        self._load, self._wake = load, wake
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="ancestral-load")
        self._loads: dict[str, Load[Loaded]] = {}
        self._running: Load[Loaded] | None = None

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._loads))

    @property
    def running(self) -> bool:
        """Whether one is under way; it cannot be broken off."""
        found = self._running
        return found is not None and found.future is not None and not found.future.done()

    def add(self, label: str, delivery: Delivery | None) -> None:
        """Load a package, for somebody or ahead."""
        load = self._loads.setdefault(label, Load(label))
        if delivery is not None:
            load.waiting.append(delivery)

    def next(self) -> Load[Loaded] | None:
        """The one to begin with, while none is under way."""
        if self._running is not None:
            return None
        return min(self._loads.values(), key=lambda load: not load.waiting, default=None)

    def begin(self, load: Load[Loaded]) -> None:
        self._running = load
        load.future = self._threads.submit(self._load, load.label)
        load.future.add_done_callback(lambda _: self._wake())

    def ended(self) -> Load[Loaded] | None:
        """The load that has ended since the last call."""
        found = self._running
        if found is None or found.future is None or not found.future.done():
            return None
        self._running = None
        del self._loads[found.label]
        return found

    def ahead(self) -> list[Load[Loaded]]:
        """Those that have not begun and that nobody waits for."""
        return [f for f in self._loads.values() if not f.waiting and f is not self._running]

    def drop(self, load: Load[Loaded]) -> None:
        """Take back one that has not begun."""
        del self._loads[load.label]

    def close(self) -> None:
        """Begin no more; one that is under way is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)
