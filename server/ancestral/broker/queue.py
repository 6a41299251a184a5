"""The Queue protocol: what the API and the workers may ask of a broker, in memory or Redis.

A job is queued, delivered to one worker (attempt 1, 2, …), publishes entries and ends with a final
one. Writes carry the attempt and are refused if a newer delivery exists, so that a worker that was
thought dead cannot interleave. Streams are not trimmed before the job expires: admission bounds
their bytes, and a slow reader re-reads from its own cursor.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from ancestral.broker.job import Entry, Job, Lane, Status, WorkerReport

START = "0-0"  # the cursor before the first entry


@dataclass(frozen=True, slots=True)
class Delivery:
    """A job handed to a worker; `attempt` fences what the worker writes."""

    job: Job
    attempt: int


@dataclass(frozen=True, slots=True)
class Publication:
    """An entry that a worker adds to a job's stream, with its progress so far."""

    job: str
    attempt: int
    event: str
    data: Mapping[str, Any]
    payload: bytes = b""
    progress: Mapping[str, Any] | None = None


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

    async def waiting(self, model: str) -> int:
        """Jobs of a model that no worker has taken."""
        ...

    async def workers(self) -> list[WorkerReport]:
        """The latest heartbeats."""
        ...


@runtime_checkable
class WorkerQueue(Protocol):
    """The worker's side; called from its own thread."""

    def pull(self, model: str, lane: Lane, count: int) -> list[Delivery]:
        """Up to `count` jobs by priority, then age; those past their deadline fail instead."""
        ...

    def wait(self, seconds: float) -> None:
        """Sleep until something is submitted or cancelled, `seconds` at most."""
        ...

    def wake(self) -> None:
        """End the sleep of `wait`."""
        ...

    def renew(self, report: WorkerReport) -> None:
        """Heartbeat: the jobs of this worker stay its own."""
        ...

    def canceled(self, jobs: Collection[str]) -> set[str]:
        """Which of these were asked to end."""
        ...

    def publish(self, publications: Sequence[Publication]) -> set[str]:
        """Append entries, those of all jobs in one go; the ids of jobs that refused theirs.

        A final event (done, failed, canceled) ends the job. Refused: a newer attempt exists, or the
        job has ended.
        """
        ...
