"""What every queue does: in memory, and on a real Redis-compatible server."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace

import pytest
from tests.broker.conftest import LEASE, TTL, Broker, job

from ancestral.broker import (
    JobExists,
    JobUnknown,
    ModelReport,
    Publication,
    Queue,
    QueueFull,
    State,
    WorkerQueue,
    WorkerReport,
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
        found = await asyncio.gather(*[broker.queue.read("a", wait=30) for _ in range(3)])
        return [[entry.event for entry in entries] for entries in found]

    thread = threading.Thread(target=publish)
    thread.start()
    assert broker.run(several()) == [["done"]] * 3
    thread.join()
    assert broker.read("a", "1-0", wait=30) == []  # it has ended: no use in waiting


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
            await asyncio.wait({reader}, timeout=5)
            assert reader.cancelled()

    broker.run(scene())


def test_writes_are_fenced_by_attempt_and_end(broker: Broker) -> None:
    broker.submit(job("a"))
    broker.names()
    assert broker.end("a", attempt=0) == {"a"}
    assert broker.end("nobody") == {"nobody"}
    assert broker.end("a") == set()
    assert broker.end("a") == {"a"}
    assert [entry.event for entry in broker.read("a")] == ["done"]


def test_cancelling_before_during_and_after(broker: Broker) -> None:
    broker.submit(job("waits"), job("runs"))
    assert broker.run(broker.queue.cancel("waits"))
    assert broker.status("waits").state is State.CANCELED
    assert broker.names() == ["runs"]
    worker = broker.worker()
    assert worker.asked(["runs"]).canceled == set()
    assert broker.run(broker.queue.cancel("runs"))
    assert worker.asked(["runs", "waits"]).canceled == {"runs", "waits"}
    assert broker.status("runs").state is State.QUEUED  # the worker has the last word
    assert broker.status("runs").cancel_requested
    broker.publish(Publication("runs", 1, "canceled", {}))
    assert broker.run(broker.queue.cancel("runs")) is False
    with pytest.raises(JobUnknown):
        broker.run(broker.queue.cancel("nobody"))


def test_the_deadline_passes_while_queued(broker: Broker) -> None:
    broker.submit(job("a", timeout=5.0, submitted=time.time() - 5), job("b"))
    assert broker.names() == ["b"]
    (entry,) = broker.read("a")
    assert (entry.event, entry.data["status"]) == ("failed", 504)


def test_the_deadline_passes_although_no_worker_lives(broker: Broker) -> None:
    broker.submit(job("a", timeout=0.1))
    (entry,) = broker.read("a", wait=10)
    assert entry.data["status"] == 504


def test_finished_jobs_expire(broker: Broker) -> None:
    broker.submit(job("a"), job("b"))
    broker.names()
    broker.end("a")
    assert broker.status("a").state is State.DONE
    time.sleep(1.2 * TTL)
    with pytest.raises(JobUnknown):
        broker.status("a")
    assert broker.status("b").state is State.QUEUED
    assert broker.worker().asked(["a"]).canceled == {"a"}  # whoever still works for it may stop


def test_how_many_wait_before_a_job(broker: Broker) -> None:
    broker.submit(job("a"), job("b"), job("c", priority=1))
    assert [broker.status(name).ahead for name in "abc"] == [1, 2, 0]
    assert broker.run(broker.queue.waiting("m/1")) == 3
    broker.names(1)
    assert [broker.status(name).ahead for name in "ab"] == [0, 1]
    broker.names()
    assert broker.run(broker.queue.waiting("m/1")) == 0
    assert broker.run(broker.queue.waiting("nobody/1")) == 0


def test_a_busy_worker_hears_of_jobs_that_come(broker: Broker) -> None:
    worker = broker.worker()
    broker.names()

    def hears(*models: str) -> bool:
        end = time.monotonic() + 0.3
        while not (found := worker.stirred(models)) and time.monotonic() < end:
            time.sleep(0.01)
        return found

    broker.submit(job("a"))
    assert hears("m/1", "n/1")
    assert not hears("n/1")
    broker.names()
    assert not hears("m/1")


def test_a_job_pauses_and_goes_on(broker: Broker) -> None:
    broker.submit(job("runs"), job("other"))
    broker.names()
    worker = broker.worker()
    assert broker.run(broker.queue.pause("runs", True))
    assert broker.status("runs").paused
    assert worker.asked(["runs", "other"]).paused == {"runs"}
    assert worker.asked(["runs"]).canceled == set()
    assert broker.run(broker.queue.pause("runs", False))
    assert worker.asked(["runs"]).paused == set()
    assert not broker.status("runs").paused


def test_a_pause_that_nobody_takes_back_ends_by_itself(broker: Broker) -> None:
    broker.submit(job("a"))
    broker.run(broker.queue.pause("a", True))
    (delivery,) = broker.pull()  # it waits for its worker as others do
    assert broker.worker().asked([delivery.job.id]).paused == {"a"}
    time.sleep(1.1 * TTL)
    assert broker.worker().asked(["a"]).paused == set()


def test_what_has_ended_or_never_was_does_not_pause(broker: Broker) -> None:
    broker.submit(job("a"))
    broker.names()
    broker.end("a")
    assert broker.run(broker.queue.pause("a", True)) is False
    assert not broker.status("a").paused
    with pytest.raises(JobUnknown):
        broker.run(broker.queue.pause("nobody", True))


def test_how_long_the_oldest_has_waited(broker: Broker) -> None:
    def oldest(model: str = "m/1") -> float:
        return float(broker.run(broker.queue.oldest(model)))

    start = time.time()
    broker.submit(job("a"))
    time.sleep(0.1)
    broker.submit(job("b", lane="score", priority=1))
    assert 0.09 <= oldest() <= time.time() - start + 0.01
    middle = time.time()
    broker.names()
    assert oldest() <= time.time() - middle + 0.09
    broker.pull(lane="score")
    assert oldest() == oldest("nobody/1") == 0


def test_jobs_that_nobody_will_take_can_be_refused(broker: Broker) -> None:
    broker.submit(job("taken"))
    broker.names()
    broker.submit(job("a"), job("b", lane="score", priority=3))
    broker.run(broker.queue.refuse("m/1", {"status": 409, "title": "gone", "detail": ""}))
    for name in "ab":
        assert broker.status(name).last.data["status"] == 409
    assert broker.status("taken").state is State.QUEUED
    assert broker.names() == []


def test_a_worker_sleeps_until_there_is_work(broker: Broker) -> None:
    worker = broker.worker()
    worker.wait(0.01)  # listens from here on
    ready = threading.Event()

    def sleep() -> None:
        while not broker.pull():
            worker.wait(60)
        ready.set()

    thread = threading.Thread(target=sleep, daemon=True)
    thread.start()
    time.sleep(0.1)
    broker.submit(job("a"))
    assert ready.wait(30)
    worker.wake()  # a wake before the sleep is not lost
    worker.wait(60)


def test_heartbeats_are_kept_until_the_worker_leaves(broker: Broker) -> None:
    worker = broker.worker()
    model = ModelReport("ready", slots_total=4)
    worker.renew(WorkerReport("w", 1, {}))
    worker.renew(WorkerReport("w", 2, {"m/1": model}, ("m",)))
    assert broker.run(broker.queue.workers()) == [WorkerReport("w", 2, {"m/1": model}, ("m",))]
    worker.leave("w")
    assert broker.run(broker.queue.workers()) == []


# Leases.


def test_a_lost_job_is_taken_over_with_what_it_has_published(broker: Broker) -> None:
    broker.submit(job("a"))
    broker.names(worker="lost")
    published = [
        Publication("a", 1, "started", {"seed": 1}),
        Publication("a", 1, "output", {"n": 0}, b"\1", b"\2"),
    ]
    broker.publish(*published, worker="lost")
    assert broker.names() == []
    broker.expire_lease()
    (delivery,) = broker.pull(worker="next")
    assert (delivery.job.id, delivery.attempt) == ("a", 2)
    told = [(entry.event, entry.data, entry.payload, entry.exact) for entry in delivery.published]
    assert told == [(p.event, p.data, p.payload, p.exact) for p in published]
    late = Publication("a", 1, "output", {"n": 1})
    assert broker.publish(late, worker="lost") == {"a"}
    broker.publish(Publication("a", 2, "output", {"n": 1}), worker="next")
    assert broker.end("a", 2, worker="next") == set()
    entries = broker.read("a")
    assert [entry.event for entry in entries] == ["started", "output", "output", "done"]
    assert [entry.id for entry in entries] == ["1-0", "2-0", "3-0", "4-0"]
    assert broker.status("a").attempt == 2
    assert "lost" in broker.status("a").error


def test_a_renewed_lease_stays(broker: Broker) -> None:
    broker.submit(job("a"))
    broker.names()
    end = time.monotonic() + 3 * LEASE
    steps = 0
    while time.monotonic() < end:
        steps += 1
        broker.worker().renew(WorkerReport("w", steps, {}))
        assert broker.names(worker="other") == []
        assert [report.worker for report in broker.run(broker.queue.workers())] == ["w"]
        time.sleep(LEASE / 8)
    assert broker.end("a") == set()


def test_a_renewal_that_comes_too_late_does_not_take_the_job_back(broker: Broker) -> None:
    broker.submit(job("a"))
    broker.names()
    broker.expire_lease()
    assert broker.names(worker="other") == ["a"]
    broker.worker().renew(WorkerReport("w", 1, {}))
    assert broker.end("a") == {"a"}
    assert broker.end("a", 2, worker="other") == set()


def test_a_released_job_goes_to_the_next_at_once(broker: Broker) -> None:
    broker.submit(job("a"))
    (delivery,) = broker.pull()
    broker.worker().release("w", {"a": delivery.attempt}, "out of memory")
    assert broker.names(worker="other") == ["a"]
    assert broker.status("a").error == "out of memory"
    assert broker.end("a") == {"a"}


def test_a_job_is_given_up_after_three_tries_without_progress(broker: Broker) -> None:
    broker.submit(job("poison"), job("slow"), job("beside"))
    for attempt in (1, 2, 3):
        for delivery in broker.pull(worker=f"w{attempt}"):
            name = delivery.job.id
            assert delivery.attempt == attempt
            assert delivery.suspect == (attempt > 1 and name != "slow")
            if name == "slow":
                broker.publish(Publication("slow", attempt, "output", {}), worker=f"w{attempt}")
            if name == "poison" and delivery.suspect:
                broker.worker(f"w{attempt}").risk("poison", attempt)
                broker.worker(f"w{attempt}").risk("poison", attempt - 1)  # fenced
        broker.expire_lease()
    last = {delivery.job.id: delivery.suspect for delivery in broker.pull(worker="w4")}
    assert last == {"slow": False, "beside": True}  # it was not tried since the first time
    status = broker.status("poison")
    assert (status.state, status.last.data["status"]) == (State.FAILED, 500)
    assert "w3 was lost in attempt 3" in status.last.data["detail"]
    assert status.error == "w3 was lost in attempt 3"


def test_a_cancelled_job_is_not_taken_up_again(broker: Broker) -> None:
    broker.submit(job("a"))
    broker.names()
    broker.run(broker.queue.cancel("a"))
    broker.expire_lease()
    assert broker.names(worker="other") == []
    assert broker.status("a").state is State.CANCELED
