"""Ensembles over orders from request to result: members, mixtures, and holes filled exactly."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.engine.jobs import delivered, sample_job, score_job, values_of
from tests.packages import TINY, publish

import ancestral
from ancestral.engine.batch import RunningBatch
from ancestral.engine.limits import Limits
from ancestral.engine.metrics import WorkerMetrics
from ancestral.engine.orders import OrderError, order_for_hole
from ancestral.engine.score_batches import ScoreBatches
from ancestral.models.orders import named
from ancestral.store.errors import PackageError
from ancestral.store.package import load_package

ORDERS = {"order-0": [0, 1, 2, 3, 4], "order-1": [4, 3, 2, 1, 0], "order-2": [2, 0, 4, 1, 3]}
MADE: dict[str, Any] = TINY["tiny-made"] | {
    "name": "some-orders",
    "hyperparameters": {"hidden": [12], "direct": True, "orders": list(ORDERS.values())},
    "data": {"kind": "vector", "shape": [5], "levels": 2},
    "order": "ensemble",
    "orders": ORDERS,
}
ITEMS = np.array(list(itertools.product((0, 1), repeat=5)))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ancestral.Model:
    return ancestral.load(str(publish(tmp_path_factory.mktemp("orders"), "tiny-made", **MADE)))


def probabilities(model: ancestral.Model, order: str) -> np.ndarray:
    """p_k of every item, from the logits of the member."""
    with torch.no_grad():
        logits = model.network.for_order(order)(torch.from_numpy(ITEMS))[..., 0, 0].double().numpy()
    chances = 1 / (1 + np.exp(-logits))
    each: np.ndarray = np.where(ITEMS == 1, chances, 1 - chances).prod(1)
    return each


def row_of(item: np.ndarray) -> int:
    return int((item == ITEMS).all(1).argmax())


def test_scores_are_of_the_mean_likelihood_or_of_a_member(model: ancestral.Model) -> None:
    members = {name: probabilities(model, name) for name in ORDERS}
    mean = np.mean(list(members.values()), 0)
    found = [np.exp(score.log_prob) for score in model.log_prob(ITEMS)]
    np.testing.assert_allclose(found, mean, rtol=1e-5)
    for name, wanted in members.items():
        found = [np.exp(score.log_prob) for score in model.log_prob(ITEMS, order=name)]
        np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_samples_report_what_scoring_says(model: ancestral.Model) -> None:
    assert model.derived
    drawn = model.sample(12, seed=3)
    assert drawn.orders is not None
    assert set(drawn.orders) == set(ORDERS)  # items have orders of their own
    scored = [score.log_prob for score in model.log_prob(drawn.items)]
    np.testing.assert_allclose(drawn.log_prob, scored, rtol=1e-5)
    np.testing.assert_allclose(drawn.sampled_log_prob, scored, rtol=1e-5)
    again = model.sample(1, seed=3, first_item=7)
    assert (again.items[0] == drawn.items[7]).all()
    one = model.sample(3, seed=3, order="order-1")
    assert one.orders == ("order-1",) * 3
    members = probabilities(model, "order-1")
    np.testing.assert_allclose(
        np.exp(one.log_prob), [members[row_of(item)] for item in one.items], rtol=1e-5
    )


def test_items_are_drawn_from_the_mixture(model: ancestral.Model) -> None:
    """Chi-squared of 1,000 draws against the mean of the members' probabilities."""
    drawn = model.sample(1000, seed=5)
    counts = np.bincount([row_of(item) for item in drawn.items], minlength=32)
    wanted = 1000 * np.mean([probabilities(model, name) for name in ORDERS], 0)
    few = wanted < 5
    seen = np.append(counts[~few], counts[few].sum())
    expected = np.append(wanted[~few], max(wanted[few].sum(), 1e-9))
    keep = expected > 1
    statistic = ((seen[keep] - expected[keep]) ** 2 / expected[keep]).sum()
    assert statistic < 61.1  # 31 degrees of freedom at most, p = 0.001


@pytest.mark.parametrize(
    ("kept", "order"),
    [([0, 1, 2], "order-0"), ([2, 3, 4], "order-1"), ([0, 2, 4], "order-2")],
)
def test_a_hole_is_filled_by_the_exact_conditional(
    model: ancestral.Model, kept: list[int], order: str
) -> None:
    known = np.full(5, np.nan)
    known[kept] = [1, 0, 1]
    drawn = model.sample(6, seed=1, known=known)
    assert drawn.orders == (order,) * 6
    members = probabilities(model, order)
    agree = (ITEMS[:, kept] == [1, 0, 1]).all(1)
    for item, nats in zip(drawn.items, drawn.sampled_log_prob, strict=True):
        assert (item[kept] == [1, 0, 1]).all()
        wanted = members[row_of(item)] / members[agree].sum()
        assert np.exp(nats) == pytest.approx(wanted, rel=1e-5)


def test_the_order_that_visits_the_hole_last() -> None:
    orders = {name: named(name, 4, 4) for name in ("raster", "raster-v", "raster-t", "raster-th")}
    for rows, columns, wanted in [
        (slice(2, 4), slice(None), "raster"),
        (slice(0, 2), slice(None), "raster-v"),
        (slice(None), slice(2, 4), "raster-t"),
        (slice(None), slice(0, 1), "raster-th"),
    ]:
        kept = np.ones((4, 4), dtype=np.bool_)
        kept[rows, columns] = False
        assert order_for_hole(orders, kept.reshape(16, 1)) == wanted


def test_a_running_batch_names_the_order_of_each_item(
    model: ancestral.Model, metrics: WorkerMetrics
) -> None:
    batch = RunningBatch(model, Limits(slots=3), metrics)
    jobs = [
        sample_job(model, count=5, seed=3),
        sample_job(model, count=2, seed=3, known=[None, None, 1, 0, 1]),
    ]
    for job in jobs:
        batch.admit(delivered(job))
    out = []
    while batch.busy:
        batch.turn(0.01)
        out += batch.take()
    mixed, filled = ([p for p in out if p.job == job.id] for job in jobs)
    started = mixed[0].data
    assert (started["order"], started["permutation"]) == ("ensemble", None)
    wanted = model.sample(5, seed=3)
    assert tuple(started["item_orders"]) == wanted.orders
    for name, ranks in started["permutations"].items():
        assert ranks == ORDERS[name]
    for result, item, nats in zip(mixed[-1].data["items"], wanted.items, wanted.log_prob,
                                  strict=True):  # fmt: skip
        index, member = result["item"], list(ORDERS).index(started["item_orders"][result["item"]])
        assert result["log_prob"] == pytest.approx(nats, rel=1e-6)
        chunks = [p for p in mixed if p.event == "output" and p.data["item"] == index]
        values = np.concatenate([np.frombuffer(p.payload, np.uint8) for p in chunks])
        assert (model.item_of(values[:, None], member) == item).all()
    assert (filled[0].data["order"], filled[0].data["permutation"]) == ("order-1", [4, 3, 2, 1, 0])
    assert "order-1" in filled[0].data["notes"][0]
    assert values_of(model.under("order-1"), filled, 1)[2:].tolist() == [1, 0, 1]


def test_scoring_jobs_name_a_member(model: ancestral.Model, metrics: WorkerMetrics) -> None:
    scoring = ScoreBatches(model, Limits(score_seconds=0), metrics)
    for order in (None, "order-2"):
        scoring.admit(delivered(score_job(model, [ITEMS[3]], order=order)))
    while scoring.busy:
        scoring.turn(0.01)
    done = [p.data["scores"][0] for p in scoring.take() if p.event == "done"]
    found = sorted(score["log_prob"] for score in done)
    wanted = sorted(model.log_prob(ITEMS[3:4], order=o)[0].log_prob for o in (None, "order-2"))
    assert found == pytest.approx(wanted)


def test_orders_that_there_are_not(model: ancestral.Model) -> None:
    with pytest.raises(OrderError, match="known: order-0"):
        model.log_prob(ITEMS[:1], order="hilbert")
    with pytest.raises(OrderError):
        sample_job(model, order="hilbert")
    with pytest.raises(ValueError, match="prefix: is in generation order"):
        sample_job(model, prefix=[1])
    assert model.sample(1, seed=0, prefix=[1], order="order-1").items[0][4] == 1
    with pytest.raises(OrderError, match="one order"):
        model.under("order-1").sample(1, order="order-1")


def test_the_manifest_must_name_the_orders_of_the_network(tmp_path: Path) -> None:
    swapped = dict(zip(ORDERS, reversed(ORDERS.values()), strict=True))
    with pytest.raises(PackageError, match="orders are not those"):
        publish(tmp_path, "tiny-made", **{**MADE, "orders": swapped})
    path = publish(tmp_path, "tiny-made", **MADE)
    assert load_package(path).for_order("order-1").order.tolist() == [4, 3, 2, 1, 0]  # type: ignore[union-attr]
