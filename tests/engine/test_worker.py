from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.engine.jobs import entries, sample_job, score_job, submit, values_of

import ancestral
from ancestral.broker import Job, MemoryQueue, ModelReport
from ancestral.broker.queue import control_queue
from ancestral.engine.batch import RunningBatch
from ancestral.engine.limits import Limits
from ancestral.engine.metrics import WorkerMetrics
from ancestral.engine.model import Model
from ancestral.engine.residents import package_loader
from ancestral.engine.score_batches import ScoreBatches
from ancestral.engine.worker import Worker


class Bench:
    """A worker whose turns the test takes itself."""

    def __init__(
        self, loader: Callable[[str], Model], metrics: WorkerMetrics, preload: str
    ) -> None:
        self.queue = MemoryQueue()
        limits = Limits(slots=2, score_seconds=0.0)
        self.worker = Worker(self.queue, loader, metrics, limits, [preload] if preload else [])

    def turn_until(self, done: Callable[[], bool], seconds: float = 300.0) -> None:
        end = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < end
            if self.worker.turn() > 0:
                time.sleep(0.001)

    def states(self) -> dict[str, ModelReport]:
        (report,) = asyncio.run(self.queue.workers())
        return dict(report.models)

    def control(self, action: str, label: str) -> Job:
        request = {"action": action, "model": label}
        job = Job(f"{action} {label}", control_queue(self.worker.name), "control", request)
        submit(self.queue, job)
        return job

    def ended(self, job: Job) -> bool:
        found = entries(self.queue, job)
        return bool(found) and found[-1].final


@pytest.fixture
def bench(wavenet: Model, metrics: WorkerMetrics) -> Iterator[Bench]:
    found = Bench(lambda label: wavenet, metrics, "long-wavenet/1")
    found.turn_until(lambda: found.states()["long-wavenet/1"].state == "ready")
    yield found
    found.worker.stop(0) if found.worker._thread.is_alive() else None


def test_a_thread_serves_both_verbs(packages: Path, wavenet: Model, metrics: WorkerMetrics) -> None:
    queue = MemoryQueue()
    worker = Worker(queue, package_loader(packages), metrics, Limits(), ["tiny-made/1"])
    worker.start()
    try:
        made = ancestral.load("tiny-made", root=packages)
        drawn = sample_job(made, seed=4)
        scored = score_job(made, [np.array([0, 1, 1, 0, 1, 0])])
        submit(queue, drawn)
        submit(queue, scored)
        asyncio.run(queue.read(scored.id, "1-0", wait=120))
        asyncio.run(queue.read(drawn.id, wait=120))
        end = time.monotonic() + 120
        while not entries(queue, drawn)[-1].final and time.monotonic() < end:
            time.sleep(0.01)
        expected = made.sample(1, seed=4).items[0]
        np.testing.assert_array_equal(values_of(made, entries(queue, drawn)), expected)
        assert entries(queue, scored)[-1].event == "done"
    finally:
        worker.stop()
    assert not worker._thread.is_alive()


def test_the_step_counter_advances_when_idle(bench: Bench) -> None:
    before = bench.worker.steps
    assert bench.worker.turn() > 0  # nothing to do: the loop may sleep
    assert bench.worker.steps == before + 1
    (report,) = asyncio.run(bench.queue.workers())
    assert report.steps == before + 1


def test_a_cancelled_job_is_gone_within_one_turn(bench: Bench, wavenet: Model) -> None:
    job = sample_job(wavenet, count=2, sites=200_000)
    submit(bench.queue, job)
    bench.worker.turn()
    assert bench.states()["long-wavenet/1"].slots_in_use == 2
    asyncio.run(bench.queue.cancel(job.id))
    bench.worker.turn()
    assert bench.states()["long-wavenet/1"].slots_in_use == 0
    assert entries(bench.queue, job)[-1].event == "canceled"


def test_neither_verb_starves(bench: Bench, wavenet: Model) -> None:
    """Both go on where the stream has no end and scores never cease to wait."""
    endless = sample_job(wavenet, count=500, sites=200_000)
    submit(bench.queue, endless)
    bench.worker.turn()
    values = np.random.default_rng(0).integers(0, 16, 2000)
    waiting: list[Job] = []
    ended: list[Job] = []
    frames = len(entries(bench.queue, endless))

    def both_went_on() -> bool:
        ended.extend(job for job in waiting if bench.ended(job))
        waiting[:] = [job for job in waiting if job not in ended]
        while len(waiting) < 4:
            waiting.append(score_job(wavenet, [values], condition={"label": 0}))
            submit(bench.queue, waiting[-1])
        return len(ended) >= 8 and len(entries(bench.queue, endless)) >= frames + 6

    bench.turn_until(both_went_on)
    assert not bench.ended(endless)
    asyncio.run(bench.queue.cancel(endless.id))
    bench.worker.turn()


def test_an_unloaded_model_finishes_what_runs_and_what_waits(bench: Bench, wavenet: Model) -> None:
    slots = bench.states()["long-wavenet/1"].slots_total
    jobs = [sample_job(wavenet, sites=2000, count=slots) for _ in range(3)]
    for job in jobs:
        submit(bench.queue, job)
    bench.worker.turn()
    assert asyncio.run(bench.queue.waiting("long-wavenet/1")) > 0
    unload = bench.control("unload", "long-wavenet/1")
    bench.worker.turn()
    assert bench.states()["long-wavenet/1"].state == "leaving"
    bench.turn_until(lambda: bench.ended(unload))
    assert [entries(bench.queue, job)[-1].event for job in jobs] == ["done"] * 3
    assert bench.states() == {}
    late = sample_job(wavenet, sites=5)
    submit(bench.queue, late)
    bench.worker.turn()
    assert entries(bench.queue, late) == []  # another worker may serve it
    again = bench.control("load", "long-wavenet/1")
    bench.turn_until(lambda: bench.ended(again) and bench.ended(late))
    assert bench.states()["long-wavenet/1"].state == "ready"


def test_a_package_that_does_not_load_is_told_of(metrics: WorkerMetrics, packages: Path) -> None:
    bench = Bench(package_loader(packages), metrics, "no-such-model/1")
    bench.turn_until(lambda: bench.states()["no-such-model/1"].state == "failed")
    assert "no-such-model" in (bench.states()["no-such-model/1"].error or "")
    load = bench.control("load", "tiny-made/9")
    bench.turn_until(lambda: bench.ended(load))
    failed = entries(bench.queue, load)[-1]
    assert (failed.event, failed.data["status"]) == ("failed", 422)
    forget = bench.control("unload", "no-such-model/1")
    bench.turn_until(lambda: bench.ended(forget))
    assert "no-such-model/1" not in bench.states()


@pytest.mark.parametrize("lane", ["sample", "score"])
def test_a_fault_of_the_worker_does_not_hang_its_jobs(
    bench: Bench, wavenet: Model, monkeypatch: pytest.MonkeyPatch, lane: str
) -> None:
    def fault(*_: object) -> None:
        raise ArithmeticError("a fault")

    made = sample_job(wavenet, sites=20) if lane == "sample" else None
    job = made or score_job(wavenet, [np.zeros(20, int)], condition={"label": 0})
    target = RunningBatch if lane == "sample" else ScoreBatches
    with monkeypatch.context() as patch:
        patch.setattr(target, "turn", fault)
        submit(bench.queue, job)
        bench.turn_until(lambda: bench.ended(job))
    assert entries(bench.queue, job)[-1].data["status"] == 500
    again = sample_job(wavenet, sites=20)
    submit(bench.queue, again)
    bench.turn_until(lambda: bench.ended(again))
    assert entries(bench.queue, again)[-1].event == "done"
