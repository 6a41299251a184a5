"""What the queue in memory holds, and how it changes: everything here is done under its lock.

Bounded by construction: live jobs hold `held_bytes` at most, finished ones go after `ttl` seconds.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from ancestral.broker.job import (
    TERMINAL,
    Entry,
    Job,
    JobUnknown,
    Lane,
    State,
    WorkerReport,
)
from ancestral.broker.queue import DELIVERIES, EXPIRED, Delivery, given_up
from ancestral.broker.records import Record, Waiting


class MemoryState:
    """Jobs by id, those that wait by lane, and the bytes that all hold."""

    def __init__(
        self,
        *,
        depth: int = 256,
        ttl: float = 600.0,
        held_bytes: int = 2**30,
        lease: float = math.inf,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._depth, self._ttl, self._held_limit = depth, ttl, held_bytes
        self._lease, self._clock = lease, clock
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._awake = False
        self._stirred: set[str] = set()  # models whose jobs came since the last pull
        self._records: dict[str, Record] = {}
        self._taken: dict[str, Record] = {}  # those that a worker holds
        self._lanes: dict[tuple[str, Lane], Waiting] = {}
        self._ended: deque[str] = deque()  # in the order in which they ended
        self._held = 0
        self._reports: dict[str, WorkerReport] = {}

    def _record(self, job: str) -> Record:
        try:
            return self._records[job]
        except KeyError:
            raise JobUnknown(job) from None

    def _take_over(self, model: str, lane: Lane) -> None:
        """Put jobs whose lease has expired to the front of their queues."""
        now = self._clock()
        for record in reversed(list(self._taken.values())):
            job = record.job
            if record.until < now and (job.model, job.lane) == (model, lane):
                if record.until > -math.inf:
                    record.error = f"{record.owner} was lost in attempt {record.attempt}"
                del self._taken[job.id]
                self._lane(job).queues[job.priority].appendleft(job.id)

    def _take(self, lane: Waiting, worker: str, count: int) -> list[Delivery]:
        for record in [self._records[job] for q in lane.queues.values() for job in q]:
            self._end_if_late(record)
        taken: list[Delivery] = []
        for queue in lane.queues.values():
            while queue and len(taken) < count:
                record = self._records[queue.popleft()]
                record.attempt += 1
                suspect = record.stalls > 0
                if record.cancel_requested:
                    self._append(record, "canceled", {})
                elif record.stalls >= DELIVERIES:
                    self._append(record, "failed", given_up(record.error or ""))
                else:
                    record.stalls = record.stalls or 1
                    record.owner, record.until = worker, self._clock() + self._lease
                    self._taken[record.job.id] = record
                    published = tuple(record.entries)
                    taken.append(Delivery(record.job, record.attempt, published, suspect))
        return taken

    def _lane(self, job: Job) -> Waiting:
        return self._lanes.setdefault((job.model, job.lane), Waiting())

    def _ahead(self, record: Record) -> int:
        if record.state is not State.QUEUED or record.attempt:
            return 0
        ahead = 0
        for queue in self._lane(record.job).queues.values():
            if record.job.id in queue:
                return ahead + queue.index(record.job.id)
            ahead += len(queue)
        return ahead

    def _append(
        self,
        record: Record,
        event: str,
        data: Mapping[str, Any],
        payload: bytes = b"",
        exact: bytes = b"",
    ) -> None:
        entry = Entry(f"{len(record.entries) + 1}-0", event, data, payload, exact)
        record.entries.append(entry)
        if event in TERMINAL:
            self._taken.pop(record.job.id, None)
            record.state = State(event)
            record.ended = self._clock()
            self._ended.append(record.job.id)
            self._lane(record.job).finished.append(record.ended)
        for loop, woken in record.readers:
            if not loop.is_closed():
                loop.call_soon_threadsafe(woken.set)

    def _end_if_late(self, record: Record) -> None:
        deadline = record.job.deadline
        late = deadline is not None and self._clock() >= deadline
        if late and record.state is State.QUEUED and record.attempt == 0:
            self._forget_waiting(record)
            self._append(record, "failed", EXPIRED)

    def _forget_waiting(self, record: Record) -> None:
        for queue in self._lane(record.job).queues.values():
            if record.job.id in queue:
                queue.remove(record.job.id)

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
