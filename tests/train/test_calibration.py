"""Reference scores: units, order, and percentiles that are uniform."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tests.chain import CLASSES, LABEL, all_items, vector_chain
from tests.packages import publish
from tests.train.recipes import stripes, write_pictures, write_recipe

import ancestral
from ancestral.media.mel import LogMel
from ancestral.models import ConditionSpec
from ancestral.store import load_package
from ancestral.train import DataError, calibrate, train
from ancestral.train.calibration import HeldOut, score
from ancestral.train.datasets import Split


def test_figures_and_reference() -> None:
    held = HeldOut(np.array([-4.0, -1.0, -3.0]), np.array([4, 2, 2]))
    assert held.nats_per_item == pytest.approx(8 / 3)
    assert held.bits_per_dim == pytest.approx(8 / (8 * math.log(2)))
    fixed = held.reference(open_length=False, marginal=False)
    assert (fixed.unit, fixed.scores) == ("nats", (-4.0, -3.0, -1.0))
    sounds = held.reference(open_length=True, marginal=True)
    assert sounds.unit == "-bits/dim"
    expected = [-1.5 / math.log(2), -1 / math.log(2), -0.5 / math.log(2)]
    assert sounds.scores == pytest.approx(expected, abs=1e-4)
    assert sounds.marginal


def test_scores_use_labels_or_sum_them_out() -> None:
    network = vector_chain()
    items = all_items(4)
    labels = np.arange(16) % CLASSES
    given = score(network, [LABEL], Split(items, (labels,)))
    module = network.module
    expected = [module.log_prob(x, int(k)).sum() for x, k in zip(items, labels, strict=True)]
    np.testing.assert_allclose(given.nats, expected, rtol=1e-5)
    assert given.dimensions.tolist() == [4] * 16
    summed = score(network, [LABEL], Split(items))
    assert np.exp(summed.nats).sum() == pytest.approx(1, abs=1e-6)


def test_unlabelled_prior_is_the_manifest_s() -> None:
    network = vector_chain()
    uniform = ConditionSpec(name="label", kind="label", classes=CLASSES)
    item = all_items(4)[5]
    joint = [network.module.log_prob(item, k).sum() for k in range(CLASSES)]
    found = score(network, [uniform], Split(item[None])).nats[0]
    assert found == pytest.approx(np.logaddexp.reduce(joint) - math.log(CLASSES), abs=1e-5)


def test_calibrate_replaces_the_reference_alone(tmp_path: Path) -> None:
    own = write_pictures(tmp_path / "own")
    path = train(write_recipe(tmp_path), data=own, output=tmp_path / "store", progress=False)
    before = load_package(path)
    held_out = write_pictures(tmp_path / "held-out", 25)
    reference = calibrate(path, held_out, progress=False)
    after = load_package(path)
    assert after.manifest.reference == reference
    assert len(reference.scores) == 25
    assert list(reference.scores) == sorted(reference.scores)
    codes = torch.from_numpy(stripes(25)[:, None]).long()
    expected = before.network.nats_per_item(codes).double().sort().values
    np.testing.assert_allclose(reference.scores, expected, atol=1e-3)
    assert after.manifest.model_copy(update={"reference": None}) == before.manifest.model_copy(
        update={"reference": None}
    )


def test_calibrate_refuses_a_handful(tmp_path: Path) -> None:
    own = write_pictures(tmp_path / "own")
    path = train(write_recipe(tmp_path), data=own, output=tmp_path / "store", progress=False)
    with pytest.raises(DataError, match="a reference needs 20"):
        calibrate(path, write_pictures(tmp_path / "few", 3), progress=False)


def test_sounds_are_scored_under_their_own_frames(tmp_path: Path) -> None:
    path = publish(tmp_path / "store", "tiny-wavernn")
    folder = tmp_path / "sounds"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(20):
        sound = generator.normal(0, 0.2, 30 + number).clip(-0.9, 0.9)
        soundfile.write(folder / f"{number:02}.wav", sound, 1000, subtype="PCM_16")
    reference = calibrate(path, folder, progress=False)
    assert not reference.marginal
    model = ancestral.load("tiny-wavernn", tmp_path / "store")
    codec = model.manifest.data.media_codec
    measure = LogMel(rate=1000, hop=6, window=24, bands=3, lowest=0, highest=500, floor=1e-6)
    expected = []
    for file in folder.iterdir():
        sound, _ = soundfile.read(file)
        (score,) = model.log_prob([codec.encode(sound)], {"mel": measure(sound)})
        expected.append(-score.bits_per_dim)
    np.testing.assert_allclose(reference.scores, sorted(expected), atol=1e-4)


def test_frames_that_nothing_defines_cannot_be_calibrated(tmp_path: Path) -> None:
    plain = {"name": "mel", "kind": "series", "channels": 3, "hop": 6}
    path = publish(tmp_path / "store", "tiny-wavernn", conditions=[plain])
    for number in range(20):
        soundfile.write(tmp_path / f"{number}.wav", np.zeros(30), 1000)
    with pytest.raises(DataError, match="a file cannot give the condition mel"):
        calibrate(path, tmp_path, progress=False)
