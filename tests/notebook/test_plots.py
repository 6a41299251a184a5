"""Plots, read back from matplotlib's axes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import scipy.stats
import torch
from matplotlib import pyplot
from tests.packages import publish

import ancestral
from ancestral.notebook import entropy_map, reference_histogram, surprise_map
from ancestral.notebook.axes import axes

mpl.use("Agg")


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    pyplot.close("all")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("store")
    scores = list(np.linspace(-40, -20, 50))
    publish(root, "tiny-pixelcnn", reference={"unit": "nats", "scores": scores})
    publish(root, "tiny-wavenet", conditions=[])
    publish(root, "tiny-made")
    return root


def test_the_reference(store: Path) -> None:
    model = ancestral.load("tiny-pixelcnn", store)
    items = np.random.default_rng(0).integers(0, 4, (2, 1, 5, 4))
    scores = model.log_prob(items, {"label": 1})
    ax = reference_histogram(model, scores)
    assert sum(patch.get_height() for patch in ax.patches) == 50
    edges = [patch.get_x() for patch in ax.patches]
    assert min(edges) == pytest.approx(20 / (20 * np.log(2)))  # 20 nats, of 20 dimensions
    assert [line.get_xdata()[0] for line in ax.lines] == [score.bits_per_dim for score in scores]
    assert [text.get_text() for text in ax.texts] == [f" {s.percentile:.1f} %" for s in scores]
    assert reference_histogram(model, scores[0], pyplot.figure().subplots()) is not ax
    with pytest.raises(ValueError, match="ancestral calibrate"):
        reference_histogram(ancestral.load("tiny-made", store))


def test_surprise_lies_where_it_is(store: Path) -> None:
    model = ancestral.load("tiny-pixelcnn", store)
    item = np.random.default_rng(1).integers(0, 4, (1, 5, 4))
    (score,) = model.log_prob([item], marginal=True)
    ax = surprise_map(model, item, marginal=True)
    bits = np.asarray(ax.images[0].get_array())
    assert bits.shape == (5, 4)
    assert bits.sum() / 20 == pytest.approx(score.bits_per_dim)
    np.testing.assert_allclose(bits.ravel(), -score.per_dim[:, 0] / np.log(2))


def test_entropy_is_that_of_the_network(store: Path) -> None:
    """Against scipy's entropy of the params of a teacher-forced pass."""
    model = ancestral.load("tiny-pixelcnn", store)
    item = np.random.default_rng(2).integers(0, 4, (1, 5, 4))
    with torch.inference_mode():
        params = model.network(torch.from_numpy(item)[None], torch.tensor([2]))
    expected = scipy.stats.entropy(params.double().softmax(-1).reshape(20, 4), axis=-1, base=2)
    shown = np.asarray(entropy_map(model, item, {"label": 2}).images[0].get_array())
    np.testing.assert_allclose(shown.ravel(), expected, rtol=1e-6)
    assert (shown <= 2).all()  # log₂ 4


def test_sounds_are_lines_over_their_waveform(store: Path) -> None:
    model = ancestral.load("tiny-wavenet", store)
    item = np.random.default_rng(3).integers(0, 16, 500)
    ax = surprise_map(model, item)
    (line,) = ax.lines
    assert len(line.get_xdata()) == 400
    assert line.get_xdata()[-1] == pytest.approx(0.499, abs=0.001)  # seconds, at 1 kHz
    assert len(ax.figure.axes) == 2
    nats = model.entropy([item])[0]
    (line,) = entropy_map(model, item[:300]).lines
    np.testing.assert_allclose(line.get_ydata(), nats[:300, 0] / np.log(2), rtol=1e-5)
    vector = entropy_map(ancestral.load("tiny-made", store), [0, 1, 1, 0, 1, 0])
    assert vector.get_xlabel() == "site"


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"ancestral\[notebook\]"):
        axes(None)
