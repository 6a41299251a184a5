from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.packages import TINY, publish

import ancestral
from ancestral.engine.conditions import ConditionError
from ancestral.engine.known import KnownError
from ancestral.engine.length import LengthError
from ancestral.engine.scoring import ItemError, percentile
from ancestral.models.made import ordering
from ancestral.store.errors import PackageError


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    for name in TINY:
        publish(folder, name)
    return folder


@cache  # compiling takes seconds
def load(root: Path, name: str) -> ancestral.Model:
    return ancestral.load(name, root=root)


def condition_of(name: str) -> dict[str, Any] | None:
    given: dict[str, Any] = {"label": 1, "mel": np.random.default_rng(2).random((3, 5)).tolist()}
    names = [condition["name"] for condition in TINY[name].get("conditions", [])]
    return {name: given[name] for name in names} or None


def test_load_by_name_version_or_folder(root: Path) -> None:
    by_name = load(root, "tiny-made")
    assert (by_name.name, by_name.version) == ("tiny-made", 1)
    assert load(root, "tiny-made/1").fingerprint == by_name.fingerprint
    assert ancestral.load(root / "tiny-made" / "1").fingerprint == by_name.fingerprint
    with pytest.raises(PackageError, match="no version 7"):
        ancestral.load("tiny-made", root=root, version=7)


@pytest.mark.parametrize("name", TINY)
def test_what_the_sampler_says_is_what_log_prob_says(root: Path, name: str) -> None:
    model = load(root, name)
    samples = model.sample(3, seed=5, condition=condition_of(name))
    scores = model.log_prob(samples.items, condition_of(name))
    np.testing.assert_allclose([s.log_prob for s in scores], samples.log_prob, rtol=1e-5)
    np.testing.assert_allclose([s.bits_per_dim for s in scores], samples.bits_per_dim, rtol=1e-5)
    np.testing.assert_array_equal(samples.log_prob, samples.sampled_log_prob)
    assert samples.derived
    assert samples.items.shape == (3, *(model.data.shape or (model.sites_of(),)))


@pytest.mark.parametrize("name", TINY)
def test_reference_draws_what_naive_draws(root: Path, name: str) -> None:
    model = load(root, name)
    sites = model.sites_of()
    request = model.slot_request(
        seed=3, item=1, sites=sites, conditions=model.conditions_from(condition_of(name))
    )
    drawn = []
    for kind in ("naive", "reference"):
        runtime = model.new_runtime(1, kind)  # type: ignore[arg-type]
        runtime.open(request)
        (advance,) = runtime.step(sites)
        drawn.append(advance)
    np.testing.assert_array_equal(drawn[0].values, drawn[1].values)
    np.testing.assert_allclose(drawn[0].log_prob, drawn[1].log_prob, atol=1e-10)


def test_items_are_numbered_and_seeded(root: Path) -> None:
    model = load(root, "tiny-pixelcnn")
    label = {"label": 0}
    three = model.sample(3, seed=9, condition=label)
    later = model.sample(1, seed=9, condition=label, first_item=2)
    np.testing.assert_array_equal(three.items[2], later.items[0])
    other = model.sample(3, seed=10, condition=label)
    assert (three.items != other.items).any()
    fresh = model.sample(1, condition=label)
    again = model.sample(1, seed=fresh.seed, condition=label)
    np.testing.assert_array_equal(fresh.items, again.items)


def test_more_items_than_slots_wait_their_turn(root: Path) -> None:
    model = load(root, "tiny-made")
    many = model.sample(20, seed=1)
    np.testing.assert_array_equal(many.items[17], model.sample(1, seed=1, first_item=17).items[0])


def test_a_label_for_each_item(root: Path) -> None:
    model = load(root, "tiny-wavenet")
    mixed = model.sample(2, seed=4, condition={"label": [0, 2]}, sites=12)
    alone = model.sample(1, seed=4, condition={"label": 2}, sites=12, first_item=1)
    np.testing.assert_array_equal(mixed.items[1], alone.items[0])
    each = model.log_prob(mixed.items, {"label": [0, 2]})
    assert each[1].log_prob == pytest.approx(alone.log_prob[0], rel=1e-5)


def test_stream_gives_every_site_once_in_order(root: Path) -> None:
    model = load(root, "tiny-pixelcnn")
    following = [0, 0]
    parts: list[list[np.ndarray[Any, Any]]] = [[], []]
    for chunk in model.stream(2, seed=2, condition={"label": 1}, every=3):
        assert chunk.first_site == following[chunk.item]
        following[chunk.item] += len(chunk.values)
        parts[chunk.item].append(chunk.values)
        assert chunk.done == (following[chunk.item] == 20)
    whole = model.sample(2, seed=2, condition={"label": 1})
    for item in range(2):
        joined = model.item_of(np.concatenate(parts[item]))
        np.testing.assert_array_equal(joined, whole.items[item])


def test_known_values_are_kept_and_scored_apart(root: Path) -> None:
    model = load(root, "tiny-made")
    known = np.array([np.nan, 1, np.nan, 0, np.nan, np.nan])
    samples = model.sample(4, seed=3, known=known)
    assert (samples.items[:, 1] == 1).all()
    assert (samples.items[:, 3] == 0).all()
    scores = model.log_prob(samples.items)
    np.testing.assert_allclose([s.log_prob for s in scores], samples.log_prob, rtol=1e-5)
    free = [s.per_dim[[0, 2, 4, 5]].sum() for s in scores]
    np.testing.assert_allclose(samples.sampled_log_prob, free, rtol=1e-4)


@pytest.mark.parametrize("name", TINY)
def test_prefix_changes_nothing_of_what_follows_it(root: Path, name: str) -> None:
    model = load(root, name)
    whole = model.sample(1, seed=6, condition=condition_of(name))
    order = np.arange(model.sites_of()) if model.order is None else model.order
    values = model.data.to_sites(torch.from_numpy(whole.items))[0].numpy()[order]
    again = model.sample(1, seed=6, condition=condition_of(name), prefix=values[:5])
    np.testing.assert_array_equal(whole.items, again.items)
    # the prefix is scored by the teacher-forced pass, which rounds differently
    assert again.log_prob[0] == pytest.approx(whole.log_prob[0], rel=1e-5)


def test_a_wholly_known_item_is_only_scored(root: Path) -> None:
    model = load(root, "tiny-made")
    samples = model.sample(2, seed=3, known=np.ones(6))
    assert samples.items.tolist() == [[1] * 6] * 2
    assert samples.sampled_log_prob.tolist() == [0, 0]
    assert samples.log_prob[0] == pytest.approx(model.log_prob(np.ones(6, int))[0].log_prob)


def test_marginal_is_the_mixture(root: Path) -> None:
    model = load(root, "tiny-pixelcnn")
    item = np.random.default_rng(0).integers(0, 4, (1, 5, 4))
    by_label = [model.log_prob(item, {"label": k})[0].log_prob for k in range(3)]
    (score,) = model.log_prob(item, marginal=True)
    expected = np.logaddexp.reduce(np.log([0.5, 0.25, 0.25]) + by_label)
    assert score.log_prob == pytest.approx(expected, rel=1e-6)
    assert score.marginalised
    (given,) = model.log_prob(item, {"label": 1}, marginal=True)
    assert not given.marginalised
    assert given.log_prob == pytest.approx(by_label[1])


def test_lengths_may_differ(root: Path) -> None:
    model = load(root, "tiny-wavenet")
    generator = np.random.default_rng(1)
    items = [generator.integers(0, 16, n) for n in (9, 4, 9)]
    scores = model.log_prob(items, {"label": [0, 1, 2]})
    assert [s.dimensions for s in scores] == [9, 4, 9]
    for index, score in enumerate(scores):
        (alone,) = model.log_prob(items[index], {"label": index})
        assert score.log_prob == pytest.approx(alone.log_prob, rel=1e-5)
        assert score.bits_per_dim == pytest.approx(-alone.log_prob / len(items[index]) / np.log(2))


def test_percentile_counts_lower_reference_scores(tmp_path: Path) -> None:
    reference = {"unit": "nats", "scores": [-40.0, -30.0, -20.0, -10.0], "marginal": True}
    publish(tmp_path, "tiny-pixelcnn", reference=reference)
    model = load(tmp_path, "tiny-pixelcnn")
    item = np.zeros((1, 5, 4), dtype=np.int64)
    (score,) = model.log_prob(item, marginal=True)
    lower = sum(value < score.log_prob for value in (-40, -30, -20, -10))
    assert (score.percentile, score.reference_n) == (25 * lower, 4)
    (given,) = model.log_prob(item, {"label": 0})
    lower = sum(value < given.log_prob for value in (-40, -30, -20, -10))
    assert (given.percentile, given.reference_n) == (25 * lower, 4)


def test_percentile_of_open_lengths_compares_bits_per_dim(tmp_path: Path) -> None:
    reference = {"unit": "-bits/dim", "scores": [-7.0, -6.5, -5.0, -1.0]}
    publish(tmp_path, "tiny-wavenet", reference=reference)
    model = load(tmp_path, "tiny-wavenet")
    for length in (5, 50):
        (score,) = model.log_prob(np.zeros(length, int), {"label": 0})
        lower = sum(value < -score.bits_per_dim for value in (-7, -6.5, -5, -1))
        assert score.percentile == 25 * lower


def test_percentile_is_absent_without_a_reference(root: Path) -> None:
    (score,) = load(root, "tiny-made").log_prob(np.zeros(6, int))
    assert (score.percentile, score.reference_n) == (None, 0)
    assert percentile(-20.0, np.array([-40.0, -30.0, -20.0, -10.0])) == 50


@pytest.mark.parametrize(
    ("items", "words"),
    [
        (np.zeros((1, 1, 4, 5), int), r"items\[0\]: has shape \[1, 4, 5\]; \[1, 5, 4\]"),
        ([np.zeros((1, 5, 4), int), np.full((1, 5, 4), 4)], r"items\[1\]: holds levels 4 to 4"),
        (np.zeros((1, 5, 4)), r"items\[0\]: has dtype float64; whole levels"),
    ],
)
def test_unfit_items_are_named(root: Path, items: Any, words: str) -> None:
    with pytest.raises(ItemError, match=words):
        load(root, "tiny-pixelcnn").log_prob(items, {"label": 0})


def test_unfit_requests_name_their_field(root: Path) -> None:
    pixels, audio = load(root, "tiny-pixelcnn"), load(root, "tiny-wavenet")
    with pytest.raises(ConditionError, match=r"condition\.label: is missing"):
        pixels.sample(1)
    with pytest.raises(LengthError, match="sites: every item has 20, not 21"):
        pixels.sites_of(sites=21)
    with pytest.raises(LengthError, match="seconds: asks for 101 sites; 1 to 100"):
        audio.sites_of(seconds=0.101)
    with pytest.raises(LengthError, match="seconds: is given beside sites"):
        audio.sites_of(sites=3, seconds=0.1)
    assert audio.sites_of() == 30
    assert audio.sites_of(seconds=0.05) == 50
    with pytest.raises(KnownError, match="prefix: has 6 sites; the item has 5"):
        audio.stream(1, 0, {"label": 0}, sites=5, prefix=[0] * 6)
    with pytest.raises(ValueError, match="count"):
        audio.sample(0, condition={"label": 0})


def test_fingerprint_tells_weights_apart(root: Path, tmp_path: Path) -> None:
    model = load(root, "tiny-made")
    assert model.fingerprint.startswith("tiny-made/1:")
    assert " native-" in model.fingerprint
    changed = {"hidden": [13], "order": [4, 2, 0, 5, 1, 3]}
    publish(tmp_path, "tiny-made", hyperparameters=changed)
    assert load(tmp_path, "tiny-made").fingerprint != model.fingerprint


def test_a_prepared_ensemble_traces_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hyper = {"hidden": [7], "orders": [1, 2, 3]}
    data = {"kind": "image", "shape": [1, 3, 2], "levels": 2}
    orders = {f"order-{k}": ordering(6, k + 1).tolist() for k in range(3)}
    told = {"hyperparameters": hyper, "data": data, "order": "ensemble", "orders": orders}
    publish(tmp_path, "tiny-made", **told)
    model = ancestral.load("tiny-made", root=tmp_path)
    model.prepare()

    def refuse(*_: object) -> object:
        raise AssertionError("compiled again")

    monkeypatch.setattr("ancestral.engine.loaded.derive", refuse)
    assert model.derived
    assert model.sample(2, seed=1).items.shape == (2, 1, 3, 2)
