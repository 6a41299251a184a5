"""`ancestral train` as a whole: from a folder of PNGs to a package that loads and samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tests.train.recipes import write_pictures, write_recipe

import ancestral
from ancestral.store import load_package
from ancestral.train import train


def test_own_pictures_become_a_package(tmp_path: Path) -> None:
    recipe, own = write_recipe(tmp_path), write_pictures(tmp_path / "own")
    output = tmp_path / "store"
    path = train(recipe, data=own, output=output, progress=False)
    assert path == output / "tiny-made" / "1"
    package = load_package(path)
    assert package.manifest.reference is not None
    assert len(package.manifest.reference.scores) == 2  # half of four test files
    assert package.manifest.provenance.seed == 3
    assert "--data" in package.manifest.provenance.command
    assert not (output / ".training").exists()
    card = (path / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlicense: ")
    assert f"{package.manifest.provenance.metrics['test nats']:.2f} nats" in card

    model = ancestral.load(path)
    stripes = model.sample(4, seed=1).items
    assert stripes.shape == (4, 1, 4, 4)
    scores = model.log_prob([np.zeros((1, 4, 4), dtype=np.int64)])
    assert scores[0].percentile is not None


def test_training_again_makes_the_next_version_with_the_same_weights(tmp_path: Path) -> None:
    recipe, own = write_recipe(tmp_path), write_pictures(tmp_path / "own")
    output = tmp_path / "store"
    first = train(recipe, data=own, output=output, progress=False)
    second = train(recipe, data=own, output=output, progress=False)
    assert second == output / "tiny-made" / "2"
    weights = [(path / "model.safetensors").read_bytes() for path in (first, second)]
    assert weights[0] == weights[1]


def test_half_precision_is_what_the_figures_are_of(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, "seed = 3", 'seed = 3\ndtype = "float16"')
    own, output = write_pictures(tmp_path / "own"), tmp_path / "store"
    package = load_package(train(recipe, data=own, output=output, progress=False))
    assert (package.path / "model.safetensors").stat().st_size < 3000
    for value in package.network.module.state_dict().values():
        assert np.array_equal(value, value.half().float())
