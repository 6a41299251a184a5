from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.cli.conftest import Run

import ancestral
from ancestral.media import Levels, encode_png
from ancestral.store import read_manifest

RECIPE = """
name = "mine"
family = "gated-pixelcnn"
hyperparameters = { channels = 4, dilations = [1], first_kernel = 3 }
data = { kind = "image", shape = [1, 4, 4], levels = 2 }
likelihood = { kind = "bernoulli" }

[source]
name = "mine"
file = "mine.npz"
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
licence = "CC0-1.0"

[training]
steps = 4
batch = 4
learning_rate = 0.01
validate_every = 2

[card]
title = "Mine"
summary = "A test."
attribution = "Nobody."
published = "None."
longer = "Nothing."
"""


def pictures(folder: Path, count: int, seed: int) -> Path:
    folder.mkdir()
    generator = np.random.default_rng(seed)
    for index in range(count):
        item = generator.integers(0, 2, (1, 4, 4))
        (folder / f"{index:03}.png").write_bytes(encode_png([item], Levels(2)))
    return folder


def test_train_score_and_calibrate(run: Run, tmp_path: Path) -> None:
    """A user's own items, from a recipe to a verdict."""
    recipe = tmp_path / "mine.toml"
    recipe.write_text(RECIPE)
    store = tmp_path / "store"
    normal = pictures(tmp_path / "normal", 40, seed=1)
    found = run("train", recipe, "--data", normal, "--output", store, "--json")
    assert found.status == 0, found.err
    path = store / "mine" / "1"
    assert json.loads(found.out) == {"path": str(path)}
    assert "ANCESTRAL_DATA" not in (path / "README.md").read_text()  # the files were its own

    held_out = pictures(tmp_path / "held-out", 25, seed=2)
    found = run("calibrate", "mine", "--data", held_out, "--models", store, "--json")
    assert found.status == 0, found.err
    assert found.json == {"path": str(path), "unit": "nats", "n": 25}
    reference = read_manifest(path).reference
    assert reference is not None
    model = ancestral.load("mine", store)
    files = sorted(held_out.glob("*.png"))
    scored = run("score", "mine", *files, "--models", store, "--json").json["results"]
    assert [result["log_prob"] for result in sorted(scored, key=lambda r: r["log_prob"])] == (
        pytest.approx(reference.scores, abs=1e-3)
    )
    assert model.log_prob(np.zeros((1, 1, 4, 4), dtype=np.int64))[0].reference_n == 25


def test_what_cannot_be_trained_or_calibrated(run: Run, small_store: Path, tmp_path: Path) -> None:
    found = run("train", tmp_path / "absent.toml")
    assert found.status == 2
    assert "absent.toml" in found.err
    few = pictures(tmp_path / "few", 3, seed=3)
    found = run("calibrate", "tiny-pixelcnn", "--data", few, "--models", small_store)
    assert found.status == 2
    assert "few" in found.err
