"""A recipe of a small MADE on pictures of 4×4 bits, and such pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

RECIPE = """
name = "tiny-made"
family = "made"
seed = 3
reference_items = 5

[hyperparameters]
hidden = [12]

[data]
kind = "image"
shape = [1, 4, 4]
levels = 2

[source]
name = "binarized-mnist"
file = "none.npz"
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
licence = "CC0"

[likelihood]
kind = "bernoulli"

[training]
steps = 30
batch = 8
learning_rate = 0.02
warmup = 2
average = 0.9
validate_every = 10

[card]
title = "Tiny"
summary = "Stripes."
attribution = "Made up."
published = "none."
longer = "Nothing."
"""
LABEL = '[[conditions]]\nname = "label"\nkind = "label"\nclasses = 2\n'


def write_recipe(folder: Path, old: str = "", new: str = "") -> Path:
    """The recipe as a file, with one passage replaced."""
    file = folder / "tiny.toml"
    assert old in RECIPE
    file.write_text(RECIPE.replace(old, new, 1) if old else RECIPE + new, encoding="utf-8")
    return file


def stripes(count: int) -> npt.NDArray[Any]:
    """Pictures whose rows are all black or all white, [count, 4, 4] of 0 and 1."""
    rows = np.random.default_rng(0).integers(0, 2, (count, 4, 1), dtype=np.uint8)
    return np.broadcast_to(rows, (count, 4, 4)).copy()


def write_pictures(folder: Path, count: int = 40) -> Path:
    """As many PNGs of stripes."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(stripes(count)):
        Image.fromarray(picture * 255).save(folder / f"{number:03}.png")
    return folder
