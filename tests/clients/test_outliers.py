"""The detector: scikit-learn's own checks, its guarantee, and a real server's scores."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.utils.estimator_checks import parametrize_with_checks
from tests.api.server import Server

from ancestral_client import Client, ItemError
from ancestral_client.outliers import AncestralOutlierDetector


class StandardNormal:
    """In place of a client: real values of any number, as scikit-learn's checks make them.

    A served model's items have one shape, so that the checks, which fit tables of one to twenty
    columns, cannot be run against one: there, nearly all of them would be expected to fail. Against
    this one none is.
    """

    def __repr__(self) -> str:  # part of a test's name: the same in every process
        return "StandardNormal()"

    def model(self, name: str) -> Any:
        return SimpleNamespace(sites=1, shape=())

    def log_prob(self, model: str, inputs: Any, **options: Any) -> list[Any]:
        scores = norm.logpdf(np.asarray(inputs).reshape(len(inputs), -1)).sum(axis=1)
        return [SimpleNamespace(log_prob=score) for score in scores]


@pytest.mark.filterwarnings("ignore:.*too few for this rate:UserWarning")
@parametrize_with_checks([AncestralOutlierDetector("normal", client=StandardNormal())])
def test_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize(("n", "rate"), [(19, 0.05), (99, 0.05), (150, 0.1), (7, 0.3)])
def test_false_alarms_are_as_wished(n: int, rate: float) -> None:
    rng = np.random.default_rng(n)
    detector = AncestralOutlierDetector(false_alarm_rate=rate, client=StandardNormal())
    alarms = [
        (detector.fit(rng.normal(size=(n, 1))).predict(rng.normal(size=(20, 1))) == -1).mean()
        for _ in range(60)
    ]
    expected = np.floor(rate * (n + 1) + 1e-9) / (n + 1)  # of exchangeable scores, exactly
    error = np.std(alarms) / np.sqrt(len(alarms))
    assert abs(np.mean(alarms) - expected) < 4 * error
    assert expected <= rate + 1e-9


def test_too_few_items() -> None:
    detector = AncestralOutlierDetector(client=StandardNormal())
    with pytest.warns(UserWarning, match="at least 19"):
        detector.fit(np.zeros((18, 1)))
    assert detector.predict([[1e6]]) == [1]
    with pytest.raises(ValueError, match="false_alarm_rate"):
        AncestralOutlierDetector(false_alarm_rate=1.5, client=StandardNormal()).fit([[1.0]])


def test_a_served_model(server: Server, client: Client, tmp_path: Path) -> None:
    bits = np.array(list(itertools.product((0, 1), repeat=6)))
    scores = np.array([score.log_prob for score in client.log_prob("tiny-made", bits)])
    detector = AncestralOutlierDetector("tiny-made", url=server.url, false_alarm_rate=0.2)
    detector.fit(bits)
    np.testing.assert_allclose(detector.score_samples(bits), scores, atol=1e-5)
    assert detector.offset_ == pytest.approx(np.sort(scores)[12], abs=1e-5)  # ⌊0.2 · 65⌋ = 13th
    assert detector.n_features_in_ == 6
    with pytest.raises(ValueError, match="features"):
        detector.predict(bits[:, :5])
    with pytest.raises(ItemError):
        detector.fit(bits + 7)


def test_images_are_rows_arrays_or_files(server: Server, client: Client, tmp_path: Path) -> None:
    images = np.random.default_rng(1).integers(0, 4, (6, 1, 5, 4))
    paths = [tmp_path / f"{index}.npy" for index in range(6)]
    for path, image in zip(paths, images, strict=True):
        np.save(path, image)
    detector = AncestralOutlierDetector(
        "tiny-pixelcnn", marginal=True, client=client, false_alarm_rate=0.5
    )
    by_row = detector.fit(images.reshape(6, 20)).score_samples(images.reshape(6, 20))
    for items in (images, list(images), paths, iter(paths)):
        np.testing.assert_allclose(detector.score_samples(items), by_row, atol=1e-5)
    label = AncestralOutlierDetector(
        "tiny-pixelcnn", condition={"label": 2}, client=client, false_alarm_rate=0.5
    )
    assert (label.fit(images).score_samples(images) != by_row).all()


def test_sounds_are_scored_by_dimension(client: Client) -> None:
    sounds = [np.zeros(length, dtype=int) for length in (20, 40)]
    options = {"condition": {"label": 1}, "client": client, "false_alarm_rate": 0.5}
    found = AncestralOutlierDetector("tiny-wavenet", **options).fit(sounds).score_samples(sounds)
    scores = client.log_prob("tiny-wavenet", sounds, condition={"label": 1})
    assert found == pytest.approx([-score.bits_per_dim for score in scores], abs=1e-5)
