"""What the queue in memory keeps of each job, and of the jobs that wait."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

from ancestral.broker.job import PRIORITIES, Entry, Job, State

RATE_JOBS = 32  # finished jobs over which the recent rate is taken


@dataclass(slots=True)
class Record:
    job: Job
    held: int  # bytes
    state: State = State.QUEUED
    attempt: int = 0
    cancel_requested: bool = False
    paused_until: float = -math.inf
    progress: dict[str, object] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    readers: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = field(default_factory=set)
    ended: float = 0.0
    owner: str = ""
    until: float = math.inf  # its lease
    stalls: int = 0  # tries since the last output
    error: str | None = None


@dataclass(slots=True)
class Waiting:
    """Jobs of one model and kind that wait, a queue for each priority."""

    queues: dict[int, deque[str]] = field(default_factory=lambda: {p: deque() for p in PRIORITIES})
    finished: deque[float] = field(default_factory=lambda: deque(maxlen=RATE_JOBS))

    def __len__(self) -> int:
        return sum(map(len, self.queues.values()))

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(self.queues.values())

    def retry_after(self, now: float) -> float:
        """Seconds until the queue has drained at the recent rate, 1 to 60."""
        return retry_after(len(self), list(self.finished), now)


def retry_after(waiting: int, finished: Sequence[float], now: float) -> float:
    """Seconds until so many jobs are done at the rate of the last ones, 1 to 60."""
    if len(finished) < 2:
        return 1.0
    rate = len(finished) / max(1e-3, now - min(finished))
    return float(min(60, max(1, math.ceil(waiting / rate))))
