"""The queue in memory by a clock of the test's own; what both queues do is in its neighbours."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from ancestral.broker import (
    Job,
    JobUnknown,
    MemoryQueue,
    Publication,
    QueueFull,
    State,
)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> MemoryQueue:
    return MemoryQueue(depth=3, ttl=60, held_bytes=1600, clock=clock)


def job(name: str, **changes: Any) -> Job:
    fields: dict[str, Any] = {"lane": "sample", "request": {"of": name}, "submitted": 1000.0}
    return Job(id=name, model="m/1", **{**fields, **changes})


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def submit(queue: MemoryQueue, *jobs: Job) -> None:
    for each in jobs:
        assert run(queue.submit(each))


def end(queue: MemoryQueue, name: str, attempt: int = 1) -> set[str]:
    return queue.publish([Publication(name, attempt, "done", {})])


def names(queue: MemoryQueue, count: int = 9) -> list[str]:
    found = queue.pull("w", {("m/1", "sample"): count})
    return [delivery.job.id for delivery in found]


def test_admission_refuses_beyond_the_depth_with_the_time_to_wait(
    queue: MemoryQueue, clock: Clock
) -> None:
    for name in "xyz":  # three jobs in four seconds
        submit(queue, job(name))
        names(queue)
        end(queue, name)
        clock.now += 2
    submit(queue, job("a"), job("b"), job("c"))
    with pytest.raises(QueueFull) as full:
        run(queue.submit(job("d")))
    assert full.value.depth == 3
    assert full.value.retry_after == 6  # three wait, at one every two seconds
    assert run(queue.submit(job("load", lane="control")))


def test_finished_jobs_expire(queue: MemoryQueue, clock: Clock) -> None:
    submit(queue, job("a"), job("b"))
    names(queue)
    end(queue, "a")
    clock.now += 59
    assert run(queue.status("a")).state is State.DONE
    clock.now += 1
    with pytest.raises(JobUnknown):
        run(queue.status("a"))
    assert run(queue.status("b")).state is State.QUEUED
    assert queue.asked(["a"]).canceled == {"a"}  # whoever still works for it may stop
