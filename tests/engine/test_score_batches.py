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
from ancestral.engine.scoring import Score


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
    plain = model.score_rows

    def score_rows(codes: torch.Tensor, rows: Any) -> list[Score]:
        shapes.append(tuple(codes.shape))
        return plain(codes, rows)

    monkeypatch.setattr(model, "score_rows", score_rows)
    return shapes


def test_items_of_one_shape_share_a_pass_whoever_sent_them(
    wavenet: Model,
    metrics: WorkerMetrics,
    items: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = [wavenet.log_prob([item], {"label": 2})[0].log_prob for item in items]
    shapes = spied(wavenet, monkeypatch)
    batches = ScoreBatches(wavenet, Limits(), metrics)
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


def test_an_error_fails_its_item_alone(
    wavenet: Model, metrics: WorkerMetrics, items: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = wavenet.score_rows

    def score_rows(codes: torch.Tensor, rows: Any) -> list[Score]:
        if (codes == 13).all(dim=-1).any():
            raise ArithmeticError("a fault")
        return plain(codes, rows)

    monkeypatch.setattr(wavenet, "score_rows", score_rows)
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
