from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from tests.engine.jobs import delivered, sample_job, values_of

from ancestral.broker import Job, Publication
from ancestral.engine.batch import RunningBatch
from ancestral.engine.limits import Limits
from ancestral.engine.metrics import WorkerMetrics
from ancestral.engine.model import Model
from ancestral.runtimes.base import Advance, Runtime, SlotRequest


def batch_of(model: Model, metrics: WorkerMetrics, slots: int = 4, **limits: int) -> RunningBatch:
    return RunningBatch(model, Limits(slots=slots, **limits), metrics)


def run(batch: RunningBatch, turns: int = 10_000) -> list[Publication]:
    """Turns until nothing is left."""
    found = batch.take()
    for _ in range(turns):
        if not batch.busy:
            return found
        batch.turn(0.02)
        found += batch.take()
    raise AssertionError("it does not end")


def of(job: Job, publications: list[Publication]) -> list[Publication]:
    return [publication for publication in publications if publication.job == job.id]


def events(job: Job, publications: list[Publication]) -> list[str]:
    return [publication.event for publication in of(job, publications)]


def test_staggered_jobs_get_what_they_get_alone(pixelcnn: Model, metrics: WorkerMetrics) -> None:
    batch = batch_of(pixelcnn, metrics, slots=3)
    jobs = [sample_job(pixelcnn, count=2, seed=seed) for seed in range(4)]
    found: list[Publication] = []
    for job in jobs:
        batch.admit(delivered(job))
        batch.turn(0.001)
        found += batch.take()
    found += run(batch)
    for seed, job in enumerate(jobs):
        alone = pixelcnn.sample(2, seed=seed, condition={"label": 1})
        for item in range(2):
            values = values_of(pixelcnn, of(job, found), item)
            np.testing.assert_array_equal(values, alone.items[item])
        done = of(job, found)[-1]
        assert done.event == "done"
        told = [item["log_prob"] for item in done.data["items"]]
        np.testing.assert_allclose(told, alone.log_prob, rtol=1e-12)


def test_a_late_joiner_waits_at_most_one_phase(pixelcnn: Model, metrics: WorkerMetrics) -> None:
    batch = batch_of(pixelcnn, metrics)
    early, late = sample_job(pixelcnn, seed=1), sample_job(pixelcnn, seed=2)
    batch.admit(delivered(early))
    batch.turn(0.0)  # one site
    before = sum(p.data["count"] for p in of(early, batch.take()) if p.event == "output")
    batch.admit(delivered(late))
    found: list[Publication] = []
    while not any(p.event == "output" for p in of(late, found)):
        batch.turn(0.0)
        found += batch.take()
    stepped = sum(p.data["count"] for p in of(early, found) if p.event == "output")
    phase = pixelcnn.new_runtime(1).phase_sites
    assert stepped <= phase
    assert before + stepped < pixelcnn.sites_of()  # the early one was not drained for it


def test_one_large_request_leaves_room_for_a_later_one(
    wavenet: Model, metrics: WorkerMetrics
) -> None:
    batch = batch_of(wavenet, metrics, slots=2)
    large = sample_job(wavenet, count=6, sites=12)
    small = sample_job(wavenet, count=1, sites=12)
    batch.admit(delivered(large))
    batch.admit(delivered(small))
    ended = [p.job for p in run(batch) if p.event == "done"]
    assert ended == [small.id, large.id]


def test_priority_comes_first(wavenet: Model, metrics: WorkerMetrics) -> None:
    batch = batch_of(wavenet, metrics, slots=1)
    jobs = [sample_job(wavenet, sites=5, priority=priority) for priority in (3, 2, 1)]
    for job in jobs:
        batch.admit(delivered(job))
    assert [p.job for p in run(batch) if p.event == "done"] == [job.id for job in reversed(jobs)]


def test_a_request_that_came_first_leaves_slots_for_others(
    wavenet: Model, metrics: WorkerMetrics
) -> None:
    batch = batch_of(wavenet, metrics, slots=16)
    large, small = sample_job(wavenet, count=64), sample_job(wavenet, sites=2)
    batch.admit(delivered(large))
    batch.turn(0.0)
    assert batch.slots_in_use == 14  # all but an eighth
    batch.admit(delivered(small))
    batch.turn(0.0)
    batch.turn(0.0)
    assert events(small, batch.take())[-1] == "done"


def test_dropping_frees_the_slots_at_once(wavenet: Model, metrics: WorkerMetrics) -> None:
    batch = batch_of(wavenet, metrics, slots=5)
    job, other = sample_job(wavenet, count=3), sample_job(wavenet, sites=9)
    batch.admit(delivered(job))
    batch.admit(delivered(other))
    batch.turn(0.0)
    assert batch.slots_in_use == 4
    batch.drop([job.id, "nobody"])
    assert batch.slots_in_use == 1
    found = run(batch)
    assert events(job, found)[-1] == "canceled"
    assert events(other, found)[-1] == "done"


def test_a_deadline_counts_until_the_start(wavenet: Model, metrics: WorkerMetrics) -> None:
    batch = batch_of(wavenet, metrics, slots=1)
    first = sample_job(wavenet, sites=300)
    late = sample_job(wavenet, sites=3, timeout=1.0, submitted=0.0)
    batch.admit(delivered(first))
    batch.turn(0.0)
    batch.admit(delivered(late))
    found = run(batch)
    assert events(late, found) == ["failed"]
    assert of(late, found)[0].data["status"] == 504
    assert events(first, found)[-1] == "done"


def test_memory_is_bounded(wavenet: Model, metrics: WorkerMetrics) -> None:
    need = wavenet.new_runtime(1).slot_bytes(50)
    batch = batch_of(wavenet, metrics, slots=4, slot_bytes=int(2.5 * need))
    job = sample_job(wavenet, count=4, sites=50)
    large = sample_job(wavenet, sites=100_000)
    batch.admit(delivered(job))
    batch.turn(0.0)
    assert 1 <= batch.slots_in_use <= 2
    batch.admit(delivered(large))
    found = run(batch)
    assert events(job, found)[-1] == "done"
    assert of(large, found)[-1].data["status"] == 413


class Timed(RunningBatch):
    """A site takes a millisecond by its own clock; `slices` are what it was stepped by."""

    def __init__(self, model: Model, metrics: WorkerMetrics, slots: int = 4) -> None:
        self.now, self.slices = 0.0, list[int]()
        super().__init__(model, Limits(slots=slots), metrics, lambda: self.now, lambda: 1e9)

    def advance(self, sites: int) -> Sequence[Advance]:
        self.now += 0.001 * sites
        self.slices.append(sites)
        return super().advance(sites)


def test_frames_follow_the_clock(wavenet: Model, metrics: WorkerMetrics) -> None:
    batch = Timed(wavenet, metrics)
    job = sample_job(wavenet, sites=400)
    batch.admit(delivered(job))
    counts, at = [], []
    while batch.busy:
        batch.turn(0.05)
        found = [p.data["count"] for p in batch.take() if p.event == "output"]
        counts += found
        at += [batch.now] * len(found)
    assert counts[0] == 1
    assert sum(counts) == 400
    gaps = [later - earlier for earlier, later in itertools.pairwise(at)]
    assert all(0.04 <= gap <= 0.06 for gap in gaps[:-1])
    assert max(batch.slices) <= 8  # for others could come at any time


def test_a_turn_ends_when_somebody_comes(wavenet: Model, metrics: WorkerMetrics) -> None:
    batch = Timed(wavenet, metrics)
    batch.admit(delivered(sample_job(wavenet, sites=400)))
    for _ in range(5):
        batch.turn(0.05)
    late = sample_job(wavenet, sites=400)
    start = batch.now
    batch.turn(0.05, lambda: batch.now >= start + 0.01)
    assert batch.now - start <= 0.018
    batch.admit(delivered(late))
    batch.take()
    start = batch.now
    batch.turn(0.05)
    assert batch.now - start <= 0.008
    assert [p.event for p in batch.take() if p.job == late.id] == ["started", "output"]


def test_nobody_waits_for_a_slice_where_all_slots_are_taken(
    wavenet: Model, metrics: WorkerMetrics
) -> None:
    batch = Timed(wavenet, metrics, slots=1)
    batch.admit(delivered(sample_job(wavenet, sites=400)))
    while batch.busy:
        batch.turn(0.05)
    assert max(batch.slices) == 50


def test_a_paused_job_gives_its_slots_and_goes_on_where_it_was(
    wavenet: Model, metrics: WorkerMetrics
) -> None:
    batch = Timed(wavenet, metrics, slots=2)
    held, other = (sample_job(wavenet, sites=150, seed=seed) for seed in (1, 2))
    batch.admit(delivered(held))
    batch.turn(0.05)
    batch.turn(0.05)
    batch.pause([held.id])
    assert (batch.slots_in_use, batch.busy, batch.active) == (0, True, False)
    assert batch.room == 2
    before = batch.take()
    assert sum(p.data["count"] for p in before if p.event == "output") == sum(batch.slices)
    batch.turn(0.05)
    assert batch.take() == []
    batch.admit(delivered(other))
    found = before
    while batch.active:
        batch.turn(0.05)
        found += batch.take()
    assert events(other, found)[-1] == "done"
    batch.pause([])
    assert batch.active
    found += run(batch)
    alone = wavenet.sample(1, seed=1, sites=150, condition={"label": 1})
    np.testing.assert_array_equal(values_of(wavenet, of(held, found)), alone.items[0])
    assert of(held, found)[-1].data["items"][0]["log_prob"] == pytest.approx(alone.log_prob[0])


class Faulty:
    """A runtime whose step raises as soon as one seed has reached a site."""

    def __init__(self, inner: Runtime, seed: int, site: int) -> None:
        self._inner, self._seed, self._site = inner, seed, site
        self._bad: dict[int, int] = {}

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def open(self, request: SlotRequest) -> int:
        slot = self._inner.open(request)
        if request.seed == self._seed:
            self._bad[slot] = 0
        return slot

    def step(self, count: int) -> Sequence[Advance]:
        advances = self._inner.step(count)
        for advance in advances:
            if advance.slot in self._bad and advance.first_site + len(advance.values) > self._site:
                raise ArithmeticError("a fault")
        return advances


def test_an_error_fails_its_job_alone(
    wavenet: Model, metrics: WorkerMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = wavenet.new_runtime
    monkeypatch.setattr(wavenet, "new_runtime", lambda slots: Faulty(plain(slots), 666, 10))
    batch = batch_of(wavenet, metrics)
    jobs = [sample_job(wavenet, seed=seed, sites=40) for seed in (1, 666, 2)]
    for job in jobs:
        batch.admit(delivered(job))
    found = run(batch)
    assert events(jobs[1], found)[-1] == "failed"
    assert of(jobs[1], found)[-1].data["status"] == 500
    monkeypatch.undo()
    for job, seed in ((jobs[0], 1), (jobs[2], 2)):
        assert events(job, found)[-1] == "done"
        alone = wavenet.sample(1, seed=seed, condition={"label": 1}, sites=40)
        np.testing.assert_array_equal(values_of(wavenet, of(job, found)), alone.items[0])


def test_a_request_that_does_not_fit_fails_alone(wavenet: Model, metrics: WorkerMetrics) -> None:
    batch = batch_of(wavenet, metrics)
    job = sample_job(wavenet, sites=9)
    bad = Job("bad", job.model, "sample", {**job.request, "condition": {"label": 7}})
    batch.admit(delivered(bad))
    batch.admit(delivered(job))
    found = run(batch)
    assert of(bad, found)[-1].data["errors"][0]["field"] == "condition.label"
    assert events(job, found)[-1] == "done"
