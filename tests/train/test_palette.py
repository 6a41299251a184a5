"""Palettes against scikit-learn's k-means, and data sets on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.cluster import KMeans
from tests.train.recipes import write_recipe

from ancestral.media import Palette
from ancestral.train import DataError, RecipeError, read_recipe
from ancestral.train.datasets import load
from ancestral.train.palette import k_means

FOUND = 'seed = 3\npalette = "k-means"'


def squared_error(pixels: np.ndarray, colours: np.ndarray) -> float:
    return float(((pixels[:, None].astype(float) - colours) ** 2).sum(-1).min(1).mean())


def test_colours_are_as_close_as_scikit_learns() -> None:
    random = np.random.default_rng(3)
    centres = random.integers(20, 236, (12, 3))
    noise = random.normal(0, 6, (3000, 3))
    pixels = np.clip(centres[random.integers(0, 12, 3000)] + noise, 0, 255).astype(np.uint8)
    colours = k_means(pixels, 16, seed=1)
    assert len(set(colours)) == 16
    assert colours == k_means(pixels, 16, seed=1)
    assert sorted(map(sum, colours)) == list(map(sum, colours))
    theirs = KMeans(16, n_init=4, random_state=0).fit(pixels.astype(float)).cluster_centers_
    ours = squared_error(pixels, np.array(colours, dtype=float))
    assert ours < 1.15 * squared_error(pixels, theirs)


def test_few_colours_are_kept_or_refused() -> None:
    pixels = np.array([[0, 0, 0]] * 5 + [[0, 0, 1]] * 5 + [[9, 9, 9]], dtype=np.uint8)
    assert k_means(pixels, 3, seed=0) == ((0, 0, 0), (0, 0, 1), (9, 9, 9))
    with pytest.raises(ValueError, match="3 colours; 4 clusters need more"):
        k_means(pixels, 4, seed=0)


def pictures(folder: Path, colours: np.ndarray) -> Path:
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(40):
        pixels = colours[random.integers(0, len(colours), (4, 4))].astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:03}.png")
    return folder


def test_a_folder_of_rgb_pictures_becomes_codes_of_its_clusters(tmp_path: Path) -> None:
    recipe = read_recipe(write_recipe(tmp_path, "seed = 3", FOUND))
    colours = np.array([[0, 0, 200], [250, 255, 255]])
    data = load(recipe, pictures(tmp_path / "own", colours))
    assert data.palette == tuple(map(tuple, colours.tolist()))
    with Image.open(tmp_path / "own" / "010.png") as first:
        pixels = np.asarray(first).transpose(2, 0, 1)
    codes = np.asarray(data.valid.items[1])
    assert (Palette(data.palette).decode(codes.astype(np.int64)) == pixels).all()
    with pytest.raises(DataError, match="clusters need more"):
        load(recipe, pictures(tmp_path / "few", colours[:1]))


def test_a_palette_is_for_codes_of_one_channel(tmp_path: Path) -> None:
    text = write_recipe(tmp_path, "seed = 3", FOUND).read_text()
    file = tmp_path / "colour.toml"
    file.write_text(text.replace("shape = [1, 4, 4]", "shape = [3, 4, 4]"))
    with pytest.raises(RecipeError, match="colours are not given"):
        read_recipe(file)
