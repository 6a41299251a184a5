"""Distribution augmentation: what is learnt from, under which label, and what is tested."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ancestral.train.augment import TRANSFORMATIONS, augmented
from ancestral.train.datasets import DataError, DataSet, Split
from ancestral.train.recipe import Recipe, RecipeError, read_recipe

RECIPE = Path(__file__).parents[2] / "models_store/recipes/distaug-digits8.toml"
CORNERS = np.array([[[[1, 2], [4, 3]]]])  # clockwise from the upper left


def recipe(*names: str) -> Recipe:
    plan = read_recipe(RECIPE)
    (condition,) = plan.conditions
    named = condition.model_copy(update={"names": names, "classes": len(names)})
    return plan.model_copy(update={"conditions": (named,)})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("identity", [[1, 2], [4, 3]]),
        ("rotate-90", [[2, 3], [1, 4]]),
        ("rotate-180", [[3, 4], [2, 1]]),
        ("rotate-270", [[4, 1], [3, 2]]),
        ("transpose", [[1, 4], [2, 3]]),
        ("jigsaw", [[4, 1], [3, 2]]),
    ],
)
def test_transformations_of_four_corners(name: str, expected: list[list[int]]) -> None:
    assert TRANSFORMATIONS[name](CORNERS)[0, 0].tolist() == expected


def test_a_jigsaw_moves_quarters_whole() -> None:
    image = np.arange(16).reshape(1, 1, 4, 4)
    turned = TRANSFORMATIONS["jigsaw"](image)[0, 0]
    assert turned[:2, 2:].tolist() == image[0, 0, :2, :2].tolist()  # upper left to upper right
    assert turned[:2, :2].tolist() == image[0, 0, 2:, :2].tolist()  # lower left to upper left


def test_colours_are_swapped() -> None:
    image = np.arange(12).reshape(1, 3, 2, 2)
    assert (TRANSFORMATIONS["swap-colours"](image)[0] == image[0, [2, 1, 0]]).all()


def test_every_training_item_comes_under_every_label() -> None:
    images = np.random.default_rng(0).integers(0, 17, (9, 1, 8, 8), dtype=np.uint8)
    data = DataSet(Split(images[:5]), Split(images[5:7]), Split(images[7:]), "some")
    found = augmented(recipe("identity", "rotate-90", "transpose"), data)
    assert len(found.train) == 15
    for item, label in zip(found.train.items, found.train.conditions[0], strict=True):
        name = ("identity", "rotate-90", "transpose")[label]
        assert any((item == TRANSFORMATIONS[name](i[None])[0]).all() for i in images[:5])
    for split in (found.valid, found.test):
        assert split.conditions[0].tolist() == [0, 0]
    assert (found.test.items[0] == images[7]).all()


def test_what_does_not_fit_is_named() -> None:
    images = np.zeros((4, 1, 8, 8), dtype=np.uint8)
    data = DataSet(Split(images), Split(images), Split(images), "some")
    with pytest.raises(DataError, match="several channels"):
        augmented(recipe("identity", "swap-colours"), data)
    with pytest.raises(DataError, match="unknown 'mirror'"):
        augmented(recipe("identity", "mirror"), data)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"jigsaw"]', '"transpose"]', "another name for each class"),
        ('"identity", "rotate-90"', '"rotate-90", "identity"', "the identity first"),
        ('names = ["identity"', 'others = ["identity"', "others"),
    ],
)
def test_the_names_of_the_label_are_the_transformations(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert read_recipe(RECIPE).transformations[:2] == ("identity", "rotate-90")
    text = RECIPE.read_text()
    assert old in text
    (tmp_path / "r.toml").write_text(text.replace(old, new))
    with pytest.raises(RecipeError, match=message):
        read_recipe(tmp_path / "r.toml")
