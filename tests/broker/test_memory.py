from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import pytest

from ancestral.broker import (
    Job,
    JobExists,
    JobUnknown,
    MemoryQueue,
    Publication,
    Queue,
    QueueFull,
    State,
    WorkerQueue,
    WorkerReport,
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
    return [delivery.job.id for delivery in queue.pull("m/1", "sample", count)]


def test_it_is_both_sides_of_the_protocol(queue: MemoryQueue) -> None:
    assert isinstance(queue, Queue)
    assert isinstance(queue, WorkerQueue)


def test_priority_then_age_and_no_more_than_asked_for(queue: MemoryQueue) -> None:
    submit(queue, job("a"), job("b", priority=3), job("c", priority=1))
    assert names(queue, 2) == ["c", "a"]
    assert names(queue, 2) == ["b"]
    assert names(queue, 2) == []


def test_lanes_and_models_are_apart(queue: MemoryQueue) -> None:
    submit(queue, job("a"), job("b", lane="score"), replace(job("c"), model="m/2"))
    assert names(queue) == ["a"]
    assert [d.job.id for d in queue.pull("m/1", "score", 9)] == ["b"]
    assert [d.job.id for d in queue.pull("m/2", "sample", 9)] == ["c"]


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


def test_bytes_are_bounded_and_finished_jobs_make_room(queue: MemoryQueue) -> None:
    submit(queue, job("a", payload=b"x" * 600), job("b", output_bytes=600))
    assert job("c", output_bytes=600).bytes_held == 600 + 8 * len('{"of": "c"}')
    with pytest.raises(QueueFull, match="memory"):
        run(queue.submit(job("c", output_bytes=600)))
    assert names(queue) == ["a", "b"]
    end(queue, "a")
    submit(queue, job("c", output_bytes=600))
    with pytest.raises(JobUnknown):
        run(queue.status("a"))


def test_the_same_request_under_an_id_is_the_same_job(queue: MemoryQueue) -> None:
    submit(queue, job("a", digest="1"))
    assert run(queue.submit(job("a", digest="1"))) is False
    with pytest.raises(JobExists):
        run(queue.submit(job("a", digest="2")))
    assert names(queue) == ["a"]


def test_a_stream_is_read_from_any_cursor(queue: MemoryQueue) -> None:
    submit(queue, job("a"))
    names(queue)
    assert run(queue.status("a")).state is State.QUEUED
    queue.publish(
        [Publication("a", 1, "output", {"n": n}, bytes([n]), {"sites": n}) for n in range(5)]
    )
    entries = run(queue.read("a"))
    assert [entry.data["n"] for entry in entries] == [0, 1, 2, 3, 4]
    assert [entry.payload for entry in entries] == [bytes([n]) for n in range(5)]
    for index, entry in enumerate(entries):
        rest = run(queue.read("a", entry.id))
        assert [later.data["n"] for later in rest] == list(range(index + 1, 5))
    assert len(run(queue.read("a", count=2))) == 2
    status = run(queue.status("a"))
    assert (status.state, status.progress) == (State.RUNNING, {"sites": 4})


def test_a_reader_on_a_loop_is_woken_by_a_thread(queue: MemoryQueue) -> None:
    submit(queue, job("a"))
    names(queue)

    def publish() -> None:
        time.sleep(0.05)
        end(queue, "a")

    thread = threading.Thread(target=publish)
    before = time.monotonic()
    thread.start()
    entries = run(queue.read("a", wait=10))
    thread.join()
    assert [entry.event for entry in entries] == ["done"]
    assert time.monotonic() - before < 5
    assert run(queue.read("a", entries[0].id, wait=10)) == []  # it has ended: no use in waiting


def test_a_read_gives_up_after_its_wait(queue: MemoryQueue) -> None:
    submit(queue, job("a"))
    assert run(queue.read("a", wait=0.01)) == []


def test_writes_are_fenced_by_attempt_and_end(queue: MemoryQueue) -> None:
    submit(queue, job("a"))
    names(queue)
    assert end(queue, "a", attempt=0) == {"a"}
    assert end(queue, "nobody") == {"nobody"}
    assert end(queue, "a") == set()
    assert end(queue, "a") == {"a"}
    assert [entry.event for entry in run(queue.read("a"))] == ["done"]


def test_cancelling_before_during_and_after(queue: MemoryQueue) -> None:
    submit(queue, job("waits"), job("runs"))
    assert run(queue.cancel("waits"))
    assert run(queue.status("waits")).state is State.CANCELED
    assert names(queue) == ["runs"]
    assert queue.canceled(["runs"]) == set()
    assert run(queue.cancel("runs"))
    assert queue.canceled(["runs", "waits"]) == {"runs", "waits"}
    assert run(queue.status("runs")).state is State.QUEUED  # the worker has the last word
    queue.publish([Publication("runs", 1, "canceled", {})])
    assert run(queue.cancel("runs")) is False
    with pytest.raises(JobUnknown):
        run(queue.cancel("nobody"))


def test_the_deadline_passes_while_queued(queue: MemoryQueue, clock: Clock) -> None:
    submit(queue, job("a", timeout=5.0), job("b"))
    clock.now += 5
    assert names(queue) == ["b"]
    (entry,) = run(queue.read("a"))
    assert (entry.event, entry.data["status"]) == ("failed", 504)


def test_the_deadline_passes_although_no_worker_lives() -> None:
    queue = MemoryQueue()
    submit(queue, job("a", timeout=0.05, submitted=time.time()))
    (entry,) = run(queue.read("a", wait=10))
    assert entry.data["status"] == 504


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
    assert queue.canceled(["a"]) == {"a"}  # whoever still works for it may stop


def test_how_many_wait_before_a_job(queue: MemoryQueue) -> None:
    submit(queue, job("a"), job("b"), job("c", priority=1))
    assert [run(queue.status(name)).ahead for name in "abc"] == [1, 2, 0]
    assert run(queue.waiting("m/1")) == 3
    names(queue)
    assert run(queue.waiting("m/1")) == 0


def test_the_worker_sleeps_until_there_is_work(queue: MemoryQueue) -> None:
    timer = threading.Timer(0.05, lambda: run(queue.submit(job("a"))))
    before = time.monotonic()
    timer.start()
    queue.wait(10)
    timer.join()
    assert time.monotonic() - before < 5
    queue.wake()  # a wake before the sleep is not lost
    queue.wait(10)
    assert time.monotonic() - before < 5


def test_heartbeats_are_kept(queue: MemoryQueue) -> None:
    queue.renew(WorkerReport("w", 1, {}))
    queue.renew(WorkerReport("w", 2, {}))
    assert [report.steps for report in run(queue.workers())] == [2]


def test_a_cancelled_reader_ends_although_entries_keep_coming(queue: MemoryQueue) -> None:
    submit(queue, job("a"))
    names(queue)

    async def follow() -> None:
        cursor = "0-0"
        while True:
            for entry in await queue.read("a", cursor, wait=10):
                cursor = entry.id

    async def scene() -> None:
        for _ in range(300):
            reader = asyncio.create_task(follow())
            await asyncio.sleep(0)
            queue.publish([Publication("a", 1, "output", {})])
            await asyncio.sleep(0)  # the event is set, and its reader about to run
            reader.cancel()
            await asyncio.wait({reader}, timeout=5)
            assert reader.cancelled()

    run(scene())
