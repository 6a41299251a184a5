"""The Queue in memory: one process, nothing to install, the same contract as Redis Streams.

One lock guards everything and is held for microseconds. Readers on event loops are woken through
`call_soon_threadsafe`, the worker's thread through a condition. Bounded by construction: `depth`
jobs wait per model and lane, live jobs hold `held_bytes` at most, finished ones go after `ttl`
seconds.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ancestral.broker.job import (
    PRIORITIES,
    TERMINAL,
    Entry,
    Job,
    JobExists,
    JobUnknown,
    Lane,
    QueueFull,
    State,
    Status,
    WorkerReport,
)
from ancestral.broker.queue import START, Delivery, Publication

RATE_JOBS = 32  # finished jobs over which the recent rate is taken
EXPIRED = {"status": 504, "title": "Deadline passed", "detail": "no worker was free in time"}


@dataclass(slots=True)
class _Record:
    job: Job
    held: int  # bytes
    state: State = State.QUEUED
    attempt: int = 0
    cancel_requested: bool = False
    progress: dict[str, object] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    readers: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = field(default_factory=set)
    ended: float = 0.0


@dataclass(slots=True)
class _Lane:
    """Jobs of one model and kind that wait, a queue for each priority."""

    queues: dict[int, deque[str]] = field(default_factory=lambda: {p: deque() for p in PRIORITIES})
    finished: deque[float] = field(default_factory=lambda: deque(maxlen=RATE_JOBS))

    def __len__(self) -> int:
        return sum(map(len, self.queues.values()))


class MemoryQueue:
    """Both sides of the protocol. `clock` gives seconds since the epoch."""

    def __init__(
        self,
        *,
        depth: int = 256,
        ttl: float = 600.0,
        held_bytes: int = 2**30,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._depth, self._ttl, self._held_limit = depth, ttl, held_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._awake = False
        self._records: dict[str, _Record] = {}
        self._lanes: dict[tuple[str, Lane], _Lane] = {}
        self._ended: deque[str] = deque()  # in the order in which they ended
        self._held = 0
        self._reports: dict[str, WorkerReport] = {}

    # The API's side.

    async def submit(self, job: Job) -> bool:
        with self._lock:
            self._expire()
            known = self._records.get(job.id)
            if known is not None:
                if known.job.digest != job.digest or known.job.lane != job.lane:
                    raise JobExists(job.id)
                return False
            lane = self._lane(job)
            waiting = len(lane)
            if job.lane != "control" and waiting >= self._depth:
                raise QueueFull(waiting, self._retry_after(lane, waiting))
            held = job.bytes_held
            if self._held + held > self._held_limit and not self._make_room(held):
                raise QueueFull(waiting, self._retry_after(lane, waiting), "broker memory")
            self._held += held
            self._records[job.id] = _Record(job, held)
            lane.queues[job.priority].append(job.id)
            self._wake_worker()
            return True

    async def status(self, job: str) -> Status:
        with self._lock:
            self._expire()
            record = self._record(job)
            return Status(
                job=record.job,
                state=record.state,
                attempt=record.attempt,
                progress=dict(record.progress),
                ahead=self._ahead(record),
                cancel_requested=record.cancel_requested,
            )

    async def read(
        self, job: str, after: str = START, *, count: int = 64, wait: float = 0.0
    ) -> list[Entry]:
        index = int(after.partition("-")[0])
        end = time.monotonic() + wait
        reader = (asyncio.get_running_loop(), asyncio.Event())
        while True:
            with self._lock:
                self._expire()
                record = self._record(job)
                self._end_if_late(record)
                found = record.entries[index : index + count]
                left = end - time.monotonic()
                if found or record.state in TERMINAL or left <= 0:
                    return found
                if record.state is State.QUEUED and record.job.deadline is not None:
                    left = min(left, max(0.0, record.job.deadline - self._clock()) + 0.001)
                reader[1].clear()
                record.readers.add(reader)
            try:
                # not wait_for: before Python 3.12 it loses a cancellation that meets the event
                async with asyncio.timeout(left):
                    await reader[1].wait()
            except TimeoutError:
                pass
            finally:
                with self._lock:
                    record.readers.discard(reader)

    async def cancel(self, job: str) -> bool:
        with self._lock:
            record = self._record(job)
            if record.state in TERMINAL:
                return False
            record.cancel_requested = True
            if record.state is State.QUEUED and record.attempt == 0:
                self._forget_waiting(record)
                self._append(record, "canceled", {}, b"")
            self._wake_worker()
            return True

    async def waiting(self, model: str) -> int:
        with self._lock:
            return sum(len(lane) for (name, _), lane in self._lanes.items() if name == model)

    async def workers(self) -> list[WorkerReport]:
        with self._lock:
            return list(self._reports.values())

    # The worker's side.

    def pull(self, model: str, lane: Lane, count: int) -> list[Delivery]:
        with self._lock:
            self._expire()
            waiting = self._lanes.get((model, lane))
            if waiting is None:
                return []
            for record in [self._records[job] for q in waiting.queues.values() for job in q]:
                self._end_if_late(record)
            taken: list[Delivery] = []
            for queue in waiting.queues.values():
                while queue and len(taken) < count:
                    record = self._records[queue.popleft()]
                    record.attempt += 1
                    taken.append(Delivery(record.job, record.attempt))
            return taken

    def wait(self, seconds: float) -> None:
        with self._work:
            if not self._awake:
                self._work.wait(seconds)
            self._awake = False

    def wake(self) -> None:
        with self._work:
            self._wake_worker()

    def renew(self, report: WorkerReport) -> None:
        with self._lock:
            self._reports[report.worker] = report

    def canceled(self, jobs: Collection[str]) -> set[str]:
        with self._lock:
            return {
                job
                for job in jobs
                if (record := self._records.get(job)) is None or record.cancel_requested
            }

    def publish(self, publications: Sequence[Publication]) -> set[str]:
        refused: set[str] = set()
        with self._lock:
            for publication in publications:
                record = self._records.get(publication.job)
                if (
                    record is None
                    or record.state in TERMINAL
                    or record.attempt != publication.attempt
                ):
                    refused.add(publication.job)
                    continue
                if publication.progress is not None:
                    record.progress = dict(publication.progress)
                if record.state is State.QUEUED:
                    record.state = State.RUNNING
                self._append(record, publication.event, publication.data, publication.payload)
        return refused

    # Under the lock.

    def _record(self, job: str) -> _Record:
        try:
            return self._records[job]
        except KeyError:
            raise JobUnknown(job) from None

    def _lane(self, job: Job) -> _Lane:
        return self._lanes.setdefault((job.model, job.lane), _Lane())

    def _ahead(self, record: _Record) -> int:
        if record.state is not State.QUEUED or record.attempt:
            return 0
        ahead = 0
        for queue in self._lane(record.job).queues.values():
            if record.job.id in queue:
                return ahead + queue.index(record.job.id)
            ahead += len(queue)
        return ahead

    def _append(self, record: _Record, event: str, data: Mapping[str, Any], payload: bytes) -> None:
        record.entries.append(Entry(f"{len(record.entries) + 1}-0", event, data, payload))
        if event in TERMINAL:
            record.state = State(event)
            record.ended = self._clock()
            self._ended.append(record.job.id)
            self._lane(record.job).finished.append(record.ended)
        for loop, woken in record.readers:
            if not loop.is_closed():
                loop.call_soon_threadsafe(woken.set)

    def _end_if_late(self, record: _Record) -> None:
        deadline = record.job.deadline
        late = deadline is not None and self._clock() >= deadline
        if late and record.state is State.QUEUED and record.attempt == 0:
            self._forget_waiting(record)
            self._append(record, "failed", dict(EXPIRED), b"")

    def _forget_waiting(self, record: _Record) -> None:
        for queue in self._lane(record.job).queues.values():
            if record.job.id in queue:
                queue.remove(record.job.id)

    def _retry_after(self, lane: _Lane, waiting: int) -> float:
        """Seconds until the queue has drained at the recent rate, 1 to 60."""
        if len(lane.finished) < 2:
            return 1.0
        rate = len(lane.finished) / max(1e-3, self._clock() - lane.finished[0])
        return float(min(60, max(1, math.ceil(waiting / rate))))

    def _expire(self) -> None:
        now = self._clock()
        while self._ended and now - self._records[self._ended[0]].ended >= self._ttl:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        record = self._records.pop(self._ended.popleft())
        self._held -= record.held

    def _make_room(self, held: int) -> bool:
        """Drop finished jobs, oldest first, before a new one is refused."""
        while self._ended and self._held + held > self._held_limit:
            self._drop_oldest()
        return self._held + held <= self._held_limit

    def _wake_worker(self) -> None:
        self._awake = True
        self._work.notify_all()
