"""The course of a job in every queue: its end, its deadline, its pause, and the wait for it."""

from __future__ import annotations

import threading
import time

import pytest
from tests.broker.conftest import TTL, Broker, job

from ancestral.broker import (
    JobUnknown,
    Publication,
    State,
)


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
    (entry,) = broker.read("a", wait=60)
    assert entry.data["status"] == 504


def test_finished_jobs_expire(broker: Broker) -> None:
    broker.submit(job("a"), job("b"))
    broker.names()
    broker.end("a")
    assert broker.status("a").state is State.DONE
    broker.later(1.2 * TTL)
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

    def hears(*models: str, wait: float = 0.3) -> bool:
        end = time.monotonic() + wait
        while not (found := worker.stirred(models)) and time.monotonic() < end:
            time.sleep(0.01)
        return found

    broker.submit(job("a"))
    assert hears("m/1", "n/1", wait=60)
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
    broker.later(1.1 * TTL)
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
    middle = time.time()
    broker.submit(job("b", lane="score", priority=1))
    assert 0.09 <= oldest() <= time.time() - start + 0.01
    broker.names()
    assert oldest() <= time.time() - middle + 0.01
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
