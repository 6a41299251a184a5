"""What every queue does with jobs and streams: in memory, and on a real Redis-compatible server."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace

import pytest
from tests.broker.conftest import Broker, job

from ancestral.broker import (
    JobExists,
    JobUnknown,
    Publication,
    Queue,
    QueueFull,
    State,
    WorkerQueue,
)


def test_it_has_both_sides_of_the_protocol(broker: Broker) -> None:
    assert isinstance(broker.queue, Queue)
    assert isinstance(broker.worker(), WorkerQueue)


def test_priority_then_age_and_no_more_than_asked_for(broker: Broker) -> None:
    broker.submit(job("a"), job("b", priority=3), job("c", priority=1))
    assert broker.names(2) == ["c", "a"]
    assert broker.names(2) == ["b"]
    assert broker.names(2) == []


def test_a_job_arrives_as_it_was_submitted(broker: Broker) -> None:
    sent = job("a", payload=bytes(range(256)), items=3, timeout=9.5, digest="d", priority=1)
    broker.submit(sent)
    (delivery,) = broker.pull()
    assert delivery.job == sent
    assert (delivery.attempt, tuple(delivery.published)) == (1, ())
    assert broker.status("a").job == sent


def test_lanes_and_models_are_apart(broker: Broker) -> None:
    broker.submit(job("a"), job("b", lane="score"), replace(job("c"), model="m/2"))
    assert broker.names() == ["a"]
    both = broker.worker().pull("w", {("m/1", "score"): 9, ("m/2", "sample"): 9})
    assert [delivery.job.id for delivery in both] == ["b", "c"]


def test_two_workers_share_a_queue(broker: Broker) -> None:
    broker.submit(job("a"), job("b"), job("c"))
    assert broker.names(2, "one") == ["a", "b"]
    assert broker.names(2, "two") == ["c"]


def test_admission_refuses_beyond_the_depth(broker: Broker) -> None:
    broker.submit(job("a"), job("b"), job("c", priority=3))
    with pytest.raises(QueueFull) as full:
        broker.submit(job("d"))
    assert (full.value.depth, full.value.reason) == (3, "queue")
    assert 1 <= full.value.retry_after <= 60
    with pytest.raises(JobUnknown):
        broker.status("d")
    broker.submit(job("load", lane="control"), job("e", lane="score"))
    assert broker.names(1) == ["a"]  # one that runs does not wait
    broker.submit(job("d"))


def test_bytes_are_bounded_and_finished_jobs_make_room(broker: Broker) -> None:
    broker.submit(job("a", payload=b"x" * 600), job("b", output_bytes=600))
    for _ in range(2):
        with pytest.raises(QueueFull, match="memory"):
            broker.submit(job("c", output_bytes=600))
    assert broker.names() == ["a", "b"]
    broker.end("a")
    broker.submit(job("c", output_bytes=600))
    with pytest.raises(JobUnknown):
        broker.status("a")
    assert broker.status("b").state is State.QUEUED


def test_a_job_that_ends_while_it_is_submitted_holds_nothing_for_ever(broker: Broker) -> None:
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            for name in broker.names():
                broker.end(name)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for n in range(60):  # of 400 bytes each, where 1600 may be held
            broker.submit(job(f"j{n}", output_bytes=400))
            while broker.status(f"j{n}").state is not State.DONE:
                time.sleep(0.001)
    finally:
        stop.set()
        thread.join()


def test_the_same_request_under_an_id_is_the_same_job(broker: Broker) -> None:
    broker.submit(job("a", digest="1"))
    assert broker.run(broker.queue.submit(job("a", digest="1"))) is False
    with pytest.raises(JobExists):
        broker.submit(job("a", digest="2"))
    assert broker.names() == ["a"]


def test_a_stream_is_read_from_any_cursor(broker: Broker) -> None:
    broker.submit(job("a"))
    broker.names()
    assert broker.status("a").state is State.QUEUED
    broker.publish(
        *[Publication("a", 1, "output", {"n": n}, bytes([n]), progress={"n": n}) for n in range(5)]
    )
    entries = broker.read("a")
    assert [entry.id for entry in entries] == ["1-0", "2-0", "3-0", "4-0", "5-0"]
    assert [entry.data["n"] for entry in entries] == [0, 1, 2, 3, 4]
    assert [entry.payload for entry in entries] == [bytes([n]) for n in range(5)]
    for index, entry in enumerate(entries):
        rest = broker.read("a", entry.id)
        assert [later.data["n"] for later in rest] == list(range(index + 1, 5))
    assert len(broker.read("a", count=2)) == 2
    status = broker.status("a")
    assert (status.state, status.progress, status.last) == (State.RUNNING, {"n": 4}, None)
    broker.end("a")
    assert broker.status("a").last.event == "done"


def test_readers_are_woken_by_a_thread(broker: Broker) -> None:
    broker.submit(job("a"))
    broker.names()

    def publish() -> None:
        time.sleep(0.2)
        broker.end("a")

    async def several() -> list[list[str]]:
        found = await asyncio.gather(*[broker.queue.read("a", wait=60) for _ in range(3)])
        return [[entry.event for entry in entries] for entries in found]

    thread = threading.Thread(target=publish)
    thread.start()
    assert broker.run(several()) == [["done"]] * 3
    thread.join()
    assert broker.read("a", "1-0", wait=60) == []  # it has ended: no use in waiting


def test_a_read_gives_up_after_its_wait(broker: Broker) -> None:
    broker.submit(job("a"))
    assert broker.read("a", wait=0.01) == []
    with pytest.raises(JobUnknown):
        broker.read("nobody", wait=1)


def test_a_cancelled_reader_ends_although_entries_keep_coming(broker: Broker) -> None:
    broker.submit(job("a"))
    broker.names()

    async def follow() -> None:
        cursor = "0-0"
        while True:
            for entry in await broker.queue.read("a", cursor, wait=10):
                cursor = entry.id

    async def scene() -> None:
        for _ in range(50):
            reader = asyncio.create_task(follow())
            await asyncio.sleep(0)
            broker.publish(Publication("a", 1, "output", {}))
            await asyncio.sleep(0)
            reader.cancel()
            await asyncio.wait({reader}, timeout=60)
            assert reader.cancelled()

    broker.run(scene())
