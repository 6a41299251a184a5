"""The Queue in memory: one process, nothing to install, the same contract as Redis Streams.

One lock guards everything and is held for microseconds. Readers on event loops are woken through
`call_soon_threadsafe`, the worker's thread through a condition. `depth` jobs wait per model and
lane. The one worker shares the fate of the process, so leases are for ever unless told.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ancestral.broker.job import (
    TERMINAL,
    Entry,
    Job,
    JobExists,
    QueueFull,
    State,
    Status,
    WorkerReport,
)
from ancestral.broker.memory_state import MemoryState
from ancestral.broker.queue import START, Asked, Delivery, Publication, Wants
from ancestral.broker.records import Record


class MemoryQueue(MemoryState):
    """Both sides of the protocol. `clock` gives seconds since the epoch."""

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
                raise QueueFull(waiting, lane.retry_after(self._clock()))
            held = job.bytes_held
            if self._held + held > self._held_limit and not self._make_room(held):
                raise QueueFull(waiting, lane.retry_after(self._clock()), "broker memory")
            self._held += held
            self._records[job.id] = Record(job, held)
            lane.queues[job.priority].append(job.id)
            self._stirred.add(job.model)
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
                paused=record.state not in TERMINAL and record.paused_until > self._clock(),
                error=record.error,
                last=record.entries[-1] if record.state in TERMINAL else None,
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
                self._append(record, "canceled", {})
            self._wake_worker()
            return True

    async def pause(self, job: str, on: bool) -> bool:
        with self._lock:
            record = self._record(job)
            record.paused_until = self._clock() + self._ttl if on else -math.inf
            self._wake_worker()
            return record.state not in TERMINAL

    async def refuse(self, model: str, why: Mapping[str, Any]) -> None:
        with self._lock:
            for (name, _), lane in self._lanes.items():
                for job in [job for q in lane.queues.values() for job in q if name == model]:
                    self._forget_waiting(self._records[job])
                    self._append(self._records[job], "failed", why)

    async def waiting(self, model: str) -> int:
        with self._lock:
            return sum(len(lane) for (name, _), lane in self._lanes.items() if name == model)

    async def oldest(self, model: str) -> float:
        with self._lock:
            now, found = self._clock(), 0.0
            for (name, _), lane in self._lanes.items():
                for job in lane if name == model else ():
                    found = max(found, now - self._records[job].job.submitted)
            return found

    async def workers(self) -> list[WorkerReport]:
        with self._lock:
            return list(self._reports.values())

    async def close(self) -> None:
        pass

    # The worker's side.

    def pull(self, worker: str, wants: Wants) -> list[Delivery]:
        with self._lock:
            self._expire()
            self._stirred.clear()
            taken: list[Delivery] = []
            for (model, lane), count in wants.items():
                self._take_over(model, lane)
                waiting = self._lanes.get((model, lane))
                if waiting is not None:
                    taken += self._take(waiting, worker, count)
            return taken

    def wait(self, seconds: float) -> None:
        with self._work:
            if not self._awake:
                self._work.wait(seconds)
            self._awake = False

    def wake(self) -> None:
        with self._work:
            self._wake_worker()

    def stirred(self, models: Collection[str]) -> bool:
        return bool(self._stirred) and not self._stirred.isdisjoint(models)

    def renew(self, report: WorkerReport) -> None:
        with self._lock:
            self._reports[report.worker] = report
            for record in self._taken.values():
                if record.owner == report.worker:
                    record.until = self._clock() + self._lease

    def asked(self, jobs: Collection[str]) -> Asked:
        with self._lock:
            known = {job: self._records.get(job) for job in jobs}
            now = self._clock()
            return Asked(
                frozenset(job for job, r in known.items() if r is None or r.cancel_requested),
                frozenset(job for job, r in known.items() if r and r.paused_until > now),
            )

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
                if publication.event == "output":
                    record.stalls = 0
                told = (publication.event, publication.data, publication.payload)
                self._append(record, *told, publication.exact)
        return refused

    def risk(self, job: str, attempt: int) -> None:
        with self._lock:
            record = self._records.get(job)
            if record is not None and record.attempt == attempt:
                record.stalls += 1

    def release(self, worker: str, jobs: Mapping[str, int], error: str = "") -> None:
        with self._lock:
            for job, attempt in jobs.items():
                record = self._records.get(job)
                if record is not None and (record.owner, record.attempt) == (worker, attempt):
                    record.until, record.error = -math.inf, error or record.error
            self._wake_worker()

    def leave(self, worker: str) -> None:
        with self._lock:
            self._reports.pop(worker, None)
