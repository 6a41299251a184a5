"""The packages that ship: figures, calibration, and samples judged by independent classifiers."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import nn

import ancestral
from ancestral.engine.model import Model
from ancestral.media import MuLaw
from ancestral.settings import SHIPPED
from ancestral.store import list_packages
from ancestral.train import datasets, read_recipe
from ancestral.train.publish import reference_rows

NAMES = [entry.name for entry in list_packages(SHIPPED)]
LARGEST = 4 * 2**20  # bytes of a package's weights
Array = npt.NDArray[Any]


@cache
def model(name: str) -> Model:
    return ancestral.load(name, SHIPPED)


@cache
def data_of(name: str, folder: Path) -> datasets.DataSet:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(datasets.VARIABLE, str(folder))
        return datasets.load(read_recipe(SHIPPED / "recipes" / f"{name}.toml"), None)


def scores(name: str, split: datasets.Split, rows: Sequence[int] | Array) -> Array:
    """What percentiles rank: nats, or -bits/dim of sounds; each item under its own conditions."""
    of = model(name)
    chosen = split.take(rows)
    given = chosen.conditions_of(range(len(chosen)))
    names = [spec.name for spec in of.conditions][: len(given)]
    condition = {key: values.numpy() for key, values in zip(names, given, strict=True)} or None
    found = of.log_prob(list(chosen.items), condition)
    if of.data.shape:
        return np.array([score.log_prob for score in found])
    return np.array([-score.bits_per_dim for score in found])


@pytest.mark.parametrize("name", NAMES)
def test_package_is_small_and_says_where_it_is_from(name: str) -> None:
    path = model(name).package.path
    assert (path / "model.safetensors").stat().st_size <= LARGEST
    provenance = model(name).manifest.provenance
    assert provenance.seed is not None
    assert f"recipes/{name}.toml" in provenance.command
    card = (path / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlicense: ")
    said = [float(number) for number in re.findall(r"\d+\.\d+", card)]
    for figure in provenance.metrics.values():
        assert any(abs(figure - number) <= 0.0051 for number in said)


@pytest.mark.parametrize("name", NAMES)
def test_held_out_percentiles_are_uniform(name: str, data_folder: Path) -> None:
    """Two-sample Kolmogorov-Smirnov: test items outside the reference against the reference."""
    test = data_of(name, data_folder).test
    reference = model(name).manifest.reference
    assert reference is not None
    rows = np.setdiff1d(np.arange(len(test)), reference_rows(len(test), 1000))
    rows = np.random.default_rng(0).permutation(rows)[:500]
    found = scores(name, test, rows)
    assert stats.ks_2samp(found, np.array(reference.scores)).pvalue > 0.01


@pytest.mark.parametrize(
    ("name", "floor"), [("made-binary-mnist", 92.0), ("image-gpt-binary-mnist", 95.0)]
)
def test_nats_of_binarised_mnist_are_below_the_floor(
    name: str, floor: float, data_folder: Path
) -> None:
    claimed = model(name).manifest.provenance.metrics["test nats"]
    assert claimed <= floor
    test = data_of(name, data_folder).test
    nats = -scores(name, test, np.arange(0, len(test), 25))  # rows are sorted by class
    assert abs(nats.mean() - claimed) < 4 * nats.std() / math.sqrt(len(nats))


def test_board_defects_score_lower_than_normal_patches(data_folder: Path) -> None:
    name = "pixelcnn-circuit-boards"
    normal = data_of(name, data_folder).test
    with np.load(data_folder / "deeppcb32.npz") as arrays:
        bits = np.unpackbits(arrays["dev_defect"], axis=1)[:, :1024]
    defects = datasets.Split(bits.reshape(-1, 1, 32, 32))
    good = scores(name, normal, np.arange(1, len(normal), 4))
    bad = scores(name, defects, np.arange(0, len(defects), 4))
    truth = np.repeat([0, 1], [len(good), len(bad)])
    assert roc_auc_score(truth, -np.concatenate([good, bad])) > 0.79


def reader(images: Array, digits: Array) -> nn.Module:
    """A small convolutional network, trained for two epochs to read digits [B, 28, 28]."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 7 * 7, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    x, y = torch.from_numpy(images), torch.from_numpy(digits.astype(np.int64))
    for rows in torch.cat([torch.randperm(len(x)) for _ in range(2)]).split(100):
        optimizer.zero_grad()
        loss = F.cross_entropy(network(x[rows, None].float() / 255), y[rows])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return network.eval()


def read(network: nn.Module, images: Array) -> Array:
    with torch.inference_mode():
        logits = network(torch.from_numpy(images)[:, None].float() / 255)
    return np.asarray(logits.argmax(1))


@pytest.mark.slow
def test_classifier_reads_the_digits_that_were_asked_for(data_folder: Path) -> None:
    with np.load(data_folder / "mnist.npz") as arrays:
        network = reader(arrays["x_train"], arrays["y_train"])
        assert (read(network, arrays["x_test"]) == arrays["y_test"]).mean() > 0.98
    wanted = np.arange(200) % 10
    drawn = model("gated-pixelcnn-mnist").sample(200, seed=1, condition={"label": wanted})
    found = read(network, np.asarray(drawn.items)[:, 0])
    assert (found == wanted).mean() >= 0.9


def spectrum(sound: Array, windows: int = 12) -> Array:
    """Log energies of 20 bands in windows spread over a sound, [windows * 20]; 8 kHz."""
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(sound, (0, 256)), 256)[::80]
    power = np.abs(np.fft.rfft(frames * np.hanning(256))) ** 2
    edges = np.unique(np.geomspace(2, 129, 21).astype(int))
    bands = np.stack([power[:, a:b].sum(1) for a, b in itertools.pairwise(edges)], axis=1)
    logs = np.log(bands + 1e-3)
    starts = np.linspace(0, len(logs), windows + 1).astype(int)[:-1]
    ends = np.maximum(starts + 1, np.append(starts[1:], len(logs)))
    return np.concatenate([logs[a:b].mean(0) for a, b in zip(starts, ends, strict=True)])


def spoken(codes: Array) -> Array:
    """Amplitudes of mu-law codes up to the silence after the word."""
    sound = model("wavenet-digits").manifest.data.media_codec
    assert sound is not None
    wave = np.asarray(sound.decode(codes))
    loud = np.flatnonzero(np.abs(wave) > 0.02)
    return wave[: loud[-1] + 1] if len(loud) else wave


@pytest.mark.slow
def test_classifier_hears_the_digits_that_were_asked_for(data_folder: Path) -> None:
    name = "wavenet-digits"
    data = data_of(name, data_folder)
    classifier = make_pipeline(StandardScaler(), SVC(C=5))
    classifier.fit([spectrum(spoken(clip)) for clip in data.train.items], data.train.conditions[0])
    real = classifier.predict([spectrum(spoken(clip)) for clip in data.test.items])
    assert (real == data.test.conditions[0]).mean() > 0.9
    wanted, speakers = np.arange(60) % 10, np.arange(60) // 10
    condition = {"digit": wanted, "speaker": speakers}
    drawn = model(name).sample(60, seed=1, condition=condition, sites=5000)
    heard = classifier.predict([spectrum(spoken(clip)) for clip in drawn.items])
    assert (heard == wanted).mean() > 0.4  # chance is 0.1


def loudness(sound: Array, hop: int = 80) -> Array:
    """Energy of every frame, dB."""
    power = (sound[: len(sound) // hop * hop].reshape(-1, hop) ** 2).mean(1)
    return np.asarray(10 * np.log10(power + 1e-6))


def test_drawn_speech_is_as_loud_as_its_frames_say(data_folder: Path) -> None:
    """Frames of test excerpts in, speech out: its energy follows the recording's own."""
    name = "wavernn-voice"
    test = data_of(name, data_folder).test
    rows = np.linspace(5, len(test) - 5, 4).astype(int)
    codec = model(name).manifest.data.media_codec
    assert isinstance(codec, MuLaw)
    (frames,) = test.conditions_of(rows)
    drawn = model(name).sample(4, seed=1, condition={"mel": frames.numpy()})
    found = np.stack([loudness(codec.decode(np.asarray(item))) for item in drawn.items])
    said = np.stack([loudness(codec.decode(test.items[row])) for row in rows])
    assert found.shape == said.shape == (4, 50)
    assert np.corrcoef(found.ravel(), said.ravel())[0, 1] >= 0.75  # measured: 0.957
    assert np.corrcoef(found.ravel(), said[::-1].ravel())[0, 1] < 0.5  # another excerpt's
