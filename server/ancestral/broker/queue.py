"""The Queue protocol: what the API and the workers may ask of a broker, in memory or Redis.

A job is queued, delivered to one worker (attempt 1, 2, …), publishes entries and ends with a final
one. A delivery is a lease: the worker renews it with its heartbeat, and one that expires is taken
over by the next worker that pulls, with everything published so far, so that the stream goes on
where it stopped. Writes carry the attempt and are refused if a newer delivery exists, so that a
worker that was thought dead cannot interleave.

A job that ends its workers must not end them for ever. One that is delivered again without an
output since the last time is suspect; a worker tries its suspects one at a time, saying so before
(`risk`), and what was tried `DELIVERIES` times without an output is given up. So jobs that only
shared a worker with it are not given up with it.

Streams are not trimmed before the job expires: admission bounds their bytes, and a slow reader
re-reads from its own cursor. Where a broker can be out of reach, every call may raise
BrokerUnavailable; worker's calls may then be repeated as they were.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from ancestral.broker.job import Entry, Job, Lane, Status, WorkerReport

START = "0-0"  # the cursor before the first entry
DELIVERIES = 3  # without progress; then a job is given up
EXPIRED = {"status": 504, "title": "Deadline passed", "detail": "no worker was free in time"}
Wants = Mapping[tuple[str, Lane], int]  # jobs that there is room for, by model and lane


def control_queue(worker: str) -> str:
    """The queue of load and unload jobs of one worker."""
    return f"control/{worker}"


def given_up(error: str) -> dict[str, Any]:
    """What a job that no worker could finish says of it."""
    detail = f"{DELIVERIES} workers took the job up without progress: {error}"
    return {"status": 500, "title": "Given up", "detail": detail}


@dataclass(frozen=True, slots=True)
class Delivery:
    """A job handed to a worker; `attempt` fences what the worker writes.

    `published` is what earlier attempts have brought out, the same that readers have seen; the last
    of them brought out nothing where it is `suspect`.
    """

    job: Job
    attempt: int
    published: Sequence[Entry] = ()
    suspect: bool = False


@dataclass(frozen=True, slots=True)
class Publication:
    """An entry that a worker adds to a job's stream, with its progress so far."""

    job: str
    attempt: int
    event: str
    data: Mapping[str, Any]
    payload: bytes = b""
    exact: bytes = b""
    progress: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What readers want of the jobs of a worker."""

    canceled: frozenset[str] = frozenset()
    paused: frozenset[str] = frozenset()


@runtime_checkable
class Queue(Protocol):
    """The API's side; everything is called on an event loop and nothing blocks it."""

    async def submit(self, job: Job) -> bool:
        """Queue the job; False if the same request was submitted under this id before.

        Raises QueueFull (admission), JobExists (another request has the id).
        """
        ...

    async def status(self, job: str) -> Status:
        """Raises JobUnknown."""
        ...

    async def read(
        self, job: str, after: str = START, *, count: int = 64, wait: float = 0.0
    ) -> list[Entry]:
        """Entries after the cursor; waits up to `wait` seconds for the first. Raises JobUnknown."""
        ...

    async def cancel(self, job: str) -> bool:
        """Ask for its end; False where it has ended already. Raises JobUnknown."""
        ...

    async def pause(self, job: str, on: bool) -> bool:
        """Ask that no more of it is drawn, or that it goes on; False where it has ended.

        A pause ends by itself after the time for which finished jobs are kept, so that one that
        nobody takes back holds nothing for ever. Raises JobUnknown.
        """
        ...

    async def refuse(self, model: str, why: Mapping[str, Any]) -> None:
        """Fail the jobs of a model that no worker has taken, because none will."""
        ...

    async def waiting(self, model: str) -> int:
        """Jobs of a model that no worker has taken."""
        ...

    async def oldest(self, model: str) -> float:
        """Seconds since the first of these was submitted; 0 where none waits."""
        ...

    async def workers(self) -> list[WorkerReport]:
        """The latest heartbeats of the workers that are there."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


@runtime_checkable
class WorkerQueue(Protocol):
    """The worker's side; called from its own thread."""

    def pull(self, worker: str, wants: Wants) -> list[Delivery]:
        """Jobs that there is room for, by priority, then age; expired leases before new jobs.

        Those past their deadline fail instead, and those that made no progress are given up.
        """
        ...

    def wait(self, seconds: float) -> None:
        """Sleep until something is submitted or cancelled, `seconds` at most."""
        ...

    def wake(self) -> None:
        """End the sleep of `wait`."""
        ...

    def stirred(self, models: Collection[str]) -> bool:
        """Whether a job of one of these was submitted since the last pull; costs microseconds."""
        ...

    def renew(self, report: WorkerReport) -> None:
        """Heartbeat: the jobs of this worker stay its own."""
        ...

    def asked(self, jobs: Collection[str]) -> Asked:
        """Which of these were asked to end, and which to pause."""
        ...

    def publish(self, publications: Sequence[Publication]) -> set[str]:
        """Append entries, those of all jobs in one go; the ids of jobs that refused theirs.

        A final event (done, failed, canceled) ends the job. Refused: a newer attempt exists, or the
        job has ended.
        """
        ...

    def risk(self, job: str, attempt: int) -> None:
        """A suspect is about to be tried: count that before it can end the worker."""
        ...

    def release(self, worker: str, jobs: Mapping[str, int], error: str = "") -> None:
        """Hand jobs (by attempt) to whichever worker pulls next; `error` says what went wrong."""
        ...

    def leave(self, worker: str) -> None:
        """Take the heartbeat back: the worker is no more."""
        ...
