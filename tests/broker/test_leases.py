"""Workers that live and workers that are lost: heartbeats, leases, deliveries, in every queue."""

from __future__ import annotations

from tests.broker.conftest import LEASE, Broker, job

from ancestral.broker import (
    ModelReport,
    Publication,
    State,
    WorkerReport,
)


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
    for steps in range(6):
        broker.worker().renew(WorkerReport("w", steps, {}))
        broker.later(LEASE / 2)
        assert broker.names(worker="other") == []
        assert [report.worker for report in broker.run(broker.queue.workers())] == ["w"]
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
