"""A job that one worker began and another ends: the stream goes on where it stopped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from tests.engine.jobs import entries, sample_job, score_job, submit, values_of
from tests.packages import publish

import ancestral
from ancestral.broker import Delivery, Entry, Job, MemoryQueue
from ancestral.engine.batch import RunningBatch
from ancestral.engine.limits import Limits
from ancestral.engine.metrics import WorkerMetrics
from ancestral.engine.model import Model
from ancestral.engine.worker import Worker


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def a_site_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """However fast the machine is, a turn draws one site of an item and tells of it."""
    monkeypatch.setattr("ancestral.engine.worker.SHORTEST_TURN", 0.0)


def worker_of(queue: MemoryQueue, model: Model) -> Worker:
    """A worker that has loaded the model; the test takes its turns."""
    label = model.label
    limits = Limits(slots=2, score_seconds=0.0, frame_seconds=0.0)
    found = Worker(queue, lambda _: model, WorkerMetrics(CollectorRegistry()), limits, [label])
    while not dict(found._residents):
        found.turn()
        time.sleep(0.01)
    return found


def turns(worker: Worker, until: Callable[[], bool]) -> None:
    for _ in range(100_000):
        if until():
            return
        worker.turn()
    raise AssertionError("it does not end")


def told(queue: MemoryQueue, job: Job) -> list[Entry]:
    return entries(queue, job)


def ended(queue: MemoryQueue, job: Job) -> bool:
    found = told(queue, job)
    return bool(found) and found[-1].final


@pytest.fixture(scope="module")
def gaussian(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Real values, which travel as float32."""
    root = tmp_path_factory.mktemp("real")
    publish(
        root,
        "tiny-made",
        data={"kind": "vector", "shape": [6], "levels": None},
        likelihood={"kind": "gaussian"},
    )
    return ancestral.load("tiny-made", root=root)


@pytest.mark.parametrize(
    ("name", "how"), [("wavenet", "lost"), ("pixelcnn", "released"), ("gaussian", "lost")]
)
def test_another_worker_goes_on(request: pytest.FixtureRequest, name: str, how: str) -> None:
    model: Model = request.getfixturevalue(name)
    open_length = {"sites": 40} if name == "wavenet" else {}
    job = sample_job(model, count=3, seed=5, **open_length)
    undisturbed = MemoryQueue()
    submit(undisturbed, job)
    turns(worker_of(undisturbed, model), lambda: ended(undisturbed, job))

    clock = Clock()
    queue = MemoryQueue(lease=10.0, clock=clock)
    first, second = worker_of(queue, model), worker_of(queue, model)
    submit(queue, job)
    enough = job.items * 2
    turns(first, lambda: sum(e.event == "output" for e in told(queue, job)) >= enough)
    before = len(told(queue, job))
    assert not ended(queue, job)
    if how == "released":
        queue.release(first.name, {job.id: 1})
    else:
        clock.now += 11
    turns(second, lambda: ended(queue, job))
    first.turn()  # it finds that the job is not its own any more
    assert dict(first._residents)[job.model].jobs == {}

    found, expected = told(queue, job), told(undisturbed, job)
    assert len(found) > before
    assert [entry.event for entry in found].count("started") == 1
    for item in range(job.items):
        np.testing.assert_array_equal(
            values_of(model, found, item), values_of(model, expected, item)
        )
    for ours, theirs in zip(found[-1].data["items"], expected[-1].data["items"], strict=True):
        assert ours == pytest.approx(theirs, rel=1e-12)


def test_a_job_whose_last_word_alone_is_missing_is_ended(wavenet: Model) -> None:
    job = sample_job(wavenet, count=1, sites=8)
    clock = Clock()
    queue = MemoryQueue(lease=10.0, clock=clock)
    first, second = worker_of(queue, wavenet), worker_of(queue, wavenet)
    submit(queue, job)
    say = queue.publish
    queue.publish = lambda all_: say([p for p in all_ if p.event != "done"])  # type: ignore[method-assign]
    turns(first, lambda: bool(told(queue, job)) and bool(told(queue, job)[-1].data.get("last")))
    queue.publish = say  # type: ignore[method-assign]
    clock.now += 11
    turns(second, lambda: ended(queue, job))
    assert told(queue, job)[-1].data["items"] == [told(queue, job)[-2].data["result"]]


def test_a_scoring_job_starts_again_but_is_told_of_once(wavenet: Model) -> None:
    items = [np.arange(20) % 16]
    job = score_job(wavenet, items, condition={"label": 0})
    clock = Clock()
    queue = MemoryQueue(lease=10.0, clock=clock)
    first, second = worker_of(queue, wavenet), worker_of(queue, wavenet)
    submit(queue, job)
    say = queue.publish
    queue.publish = lambda all_: say([p for p in all_ if p.event != "done"])  # type: ignore[method-assign]
    turns(first, lambda: bool(told(queue, job)))
    queue.publish = say  # type: ignore[method-assign]
    clock.now += 11
    turns(second, lambda: ended(queue, job))
    assert [entry.event for entry in told(queue, job)] == ["started", "done"]
    (score,) = told(queue, job)[-1].data["scores"]
    assert score["log_prob"] == wavenet.log_prob(items, {"label": 0})[0].log_prob


class Killer(Exception):
    """Stands for the end of a worker's process."""


def test_a_job_that_ends_its_workers_is_given_up_and_its_neighbours_are_not(
    wavenet: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison = sample_job(wavenet, name="poison", sites=8)
    neighbours = [sample_job(wavenet, sites=8, seed=seed) for seed in range(5)]
    clock = Clock()
    queue = MemoryQueue(lease=10.0, clock=clock)
    for job in [*neighbours[:2], poison, *neighbours[2:]]:
        submit(queue, job)
    admit = RunningBatch.admit

    def deadly(batch: RunningBatch, delivery: Delivery) -> None:
        if delivery.job.id == "poison":
            raise Killer
        admit(batch, delivery)

    monkeypatch.setattr(RunningBatch, "admit", deadly)
    lost = 0
    for _ in range(20):
        worker = worker_of(queue, wavenet)
        try:
            turns(worker, lambda: all(ended(queue, job) for job in [poison, *neighbours]))
            break
        except Killer:
            lost += 1
            clock.now += 11
    assert lost == 3
    assert told(queue, poison)[-1].event == "failed"
    assert {told(queue, job)[-1].event for job in neighbours} == {"done"}


def test_a_suspect_can_be_cancelled_before_its_turn(wavenet: Model) -> None:
    jobs = [sample_job(wavenet, sites=8) for _ in range(2)]
    clock = Clock()
    queue = MemoryQueue(lease=10.0, clock=clock)
    worker = worker_of(queue, wavenet)
    for job in jobs:
        submit(queue, job)
    label = wavenet.label
    assert len(queue.pull("lost", {(label, "sample"): 2})) == 2
    clock.now += 11
    worker._pull()
    asyncio.run(queue.cancel(jobs[1].id))
    turns(worker, lambda: all(ended(queue, job) for job in jobs))
    assert [told(queue, job)[-1].event for job in jobs] == ["done", "canceled"]
