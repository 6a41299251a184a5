from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.engine.jobs import delivered, score_job

from ancestral.broker import Job, Publication
from ancestral.engine.limits import Limits
from ancestral.engine.metrics import WorkerMetrics
from ancestral.engine.model import Model
from ancestral.engine.score_batches import ScoreBatches
from ancestral.runtimes.long_items import Parts


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def items() -> list[np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 16, length) for length in (20, 30, 20, 30, 20)]


def run(batches: ScoreBatches) -> dict[str, Publication]:
    while batches.busy:
        batches.turn(1.0)
    return {p.job: p for p in batches.take() if p.event != "started"}


def spied(model: Model, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of the passes that are run."""
    shapes: list[tuple[int, ...]] = []
    plain = model.scorer.marginal_parts

    def parts(codes: torch.Tensor, rows: Any) -> Parts:
        shapes.append(tuple(codes.shape))
        return plain(codes, rows)

    monkeypatch.setattr(model.scorer, "marginal_parts", parts)
    return shapes


def test_items_of_one_shape_share_a_pass_whoever_sent_them(
    wavenet: Model,
    metrics: WorkerMetrics,
    items: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = [wavenet.log_prob([item], {"label": 2})[0].log_prob for item in items]
    shapes = spied(wavenet, monkeypatch)
    batches = ScoreBatches(wavenet, Limits(), metrics, Clock())
    batches._seconds_per_value = 1e-6  # measured before
    jobs = [score_job(wavenet, items[:2], condition={"label": 2})]
    jobs += [score_job(wavenet, [item], condition={"label": 2}) for item in items[2:]]
    for job in jobs:
        batches.admit(delivered(job))
    done = run(batches)
    assert sorted(shapes) == [(2, 30), (3, 20)]
    told = [score["log_prob"] for job in jobs for score in done[job.id].data["scores"]]
    np.testing.assert_allclose(told, expected, rtol=1e-5)


def test_conditions_are_each_items_own(
    wavenet: Model, metrics: WorkerMetrics, items: list[Any]
) -> None:
    batches = ScoreBatches(wavenet, Limits(), metrics)
    batches._seconds_per_value = 1e-6
    same = items[0]
    each = score_job(wavenet, [same, same, same], condition={"label": [0, 1, 2]})
    summed = score_job(wavenet, [same], marginal=True, per_dim=True)
    for job in (each, summed):
        batches.admit(delivered(job))
    done = run(batches)
    by_label = [score["log_prob"] for score in done[each.id].data["scores"]]
    assert len(set(by_label)) == 3
    (total,) = done[summed.id].data["scores"]
    assert total["marginalised"] is True
    prior = np.log([0.5, 0.25, 0.25])  # of the package
    assert total["log_prob"] == pytest.approx(np.logaddexp.reduce(prior + by_label), rel=1e-5)
    per_dim = np.frombuffer(done[summed.id].payload, "<f8")
    assert per_dim.shape == (20,)
    assert per_dim.sum() == pytest.approx(total["log_prob"])


def test_it_waits_a_little_for_company_but_not_for_long(
    wavenet: Model, metrics: WorkerMetrics, items: list[Any]
) -> None:
    clock = Clock()
    limits = Limits(score_seconds=0.25, score_items=2)
    batches = ScoreBatches(wavenet, limits, metrics, clock)
    assert batches.due() == float("inf")
    batches.admit(delivered(score_job(wavenet, items[:1], condition={"label": 0})))
    assert batches.due() == 0.25
    clock.now = 0.125
    assert batches.due() == 0.125
    clock.now = 0.5
    assert batches.due() == 0.0
    clock.now = 0.0
    batches.admit(delivered(score_job(wavenet, items[1:2], condition={"label": 0})))
    assert batches.due() == 0.0  # full
    assert batches.room == 0


def test_the_first_pass_is_one_item_because_nothing_is_measured(
    wavenet: Model, metrics: WorkerMetrics, items: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = spied(wavenet, monkeypatch)
    batches = ScoreBatches(wavenet, Limits(), metrics)
    batches.admit(delivered(score_job(wavenet, [items[0]] * 5, condition={"label": 0})))
    run(batches)
    assert shapes[0] == (1, 20)


def test_a_request_for_many_items_does_not_hold_off_a_later_one(
    wavenet: Model, metrics: WorkerMetrics, items: list[Any]
) -> None:
    batches = ScoreBatches(wavenet, Limits(), metrics, Clock())
    batches._seconds_per_value = 1.0  # so that each pass takes one item
    many = score_job(wavenet, [items[0]] * 9, condition={"label": 0})
    one = score_job(wavenet, [items[1]], condition={"label": 0})
    batches.admit(delivered(many))
    batches.turn(1e-9)
    batches._seconds_per_value = 1.0
    batches.admit(delivered(one))
    for _ in range(2):  # the second of the many was there first
        batches.turn(1e-9)
        batches._seconds_per_value = 1.0
    assert [p.job for p in batches.take() if p.event == "done"] == [one.id]
    assert set(run(batches)) == {many.id}


def test_a_long_pass_pauses_between_turns(
    wavenet: Model, metrics: WorkerMetrics, items: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    plain = wavenet.scorer.marginal_parts

    def parts(codes: torch.Tensor, rows: Any) -> Parts:
        for _ in range(3):
            clock.now += 1
            yield
        return (yield from plain(codes, rows))

    monkeypatch.setattr(wavenet.scorer, "marginal_parts", parts)
    batches = ScoreBatches(wavenet, Limits(), metrics, clock)
    job, other = (score_job(wavenet, [items[n]], condition={"label": 0}) for n in (0, 1))
    batches.admit(delivered(job))
    for _ in range(3):
        batches.turn(0.5)
        assert batches.busy
        assert batches.due() == 0
        assert [p.event for p in batches.take() if p.event != "started"] == []
    batches.turn(0.5)
    assert [p.event for p in batches.take()] == ["done"]
    batches.admit(delivered(other))
    batches.turn(0.5)
    batches.drop([other.id])
    assert not batches.busy
    assert [p.event for p in batches.take()] == ["started", "canceled"]


def test_an_error_fails_its_item_alone(
    wavenet: Model, metrics: WorkerMetrics, items: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = wavenet.scorer.marginal_parts

    def parts(codes: torch.Tensor, rows: Any) -> Parts:
        if (codes == 13).all(dim=-1).any():
            raise ArithmeticError("a fault")
        return plain(codes, rows)

    monkeypatch.setattr(wavenet.scorer, "marginal_parts", parts)
    batches = ScoreBatches(wavenet, Limits(), metrics)
    batches._seconds_per_value = 1e-6
    bad = np.full(20, 13)
    mixed = score_job(wavenet, [items[0], bad], condition={"label": 0}, per_dim=True)
    good = score_job(wavenet, [items[2]], condition={"label": 0})
    alone = score_job(wavenet, [bad], condition={"label": 0})
    for job in (mixed, good, alone):
        batches.admit(delivered(job))
    done = run(batches)
    first, second = done[mixed.id].data["scores"]
    assert "log_prob" in first
    assert second["error"]["status"] == 500
    assert np.isnan(np.frombuffer(done[mixed.id].payload, "<f8")[20:]).all()
    assert done[good.id].event == "done"
    assert done[alone.id].event == "failed"


def test_cancelled_late_and_misfit_jobs(
    wavenet: Model, metrics: WorkerMetrics, items: list[Any]
) -> None:
    batches = ScoreBatches(wavenet, Limits(), metrics)
    canceled = score_job(wavenet, items[:3], condition={"label": 0})
    late = score_job(wavenet, items[:1], condition={"label": 0}, timeout=1.0, submitted=0.0)
    misfit = score_job(wavenet, [np.full(20, 99)], condition={"label": 0})
    broken = Job("broken", "m/1", "score", {"shapes": [[4]], "dtype": "uint8"})
    for job in (canceled, late, misfit, broken):
        batches.admit(delivered(job))
    batches.drop([canceled.id])
    done = run(batches)
    assert done[canceled.id].event == "canceled"
    assert done[late.id].data["status"] == 504
    assert done[misfit.id].data["status"] == 422
    assert done["broken"].event == "failed"
