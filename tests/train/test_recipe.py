"""Recipes: those that ship, and those that cannot be followed."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.train.recipes import write_recipe

from ancestral import likelihoods, models
from ancestral.train import RecipeError, read_recipe

SHIPPED = sorted((Path(__file__).parents[2] / "models_store" / "recipes").glob("*.toml"))


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_shipped_recipes_build_a_network(file: Path) -> None:
    recipe = read_recipe(file)
    assert recipe.name == file.stem
    network = models.build(
        recipe.family,
        recipe.hyperparameters,
        recipe.data.spec,
        likelihoods.from_config(recipe.likelihood),
        [condition.spec for condition in recipe.conditions],
        encoding=recipe.input_encoding,
    )
    assert sum(parameter.numel() for parameter in network.parameters()) < 2e6


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seed = 3", "sed = 3", "sed: there is no such key"),
        ("steps = 30", "steps = 0", "training.steps: Input should be greater"),
        ("steps = 30", "steps = 30\nmomentum = 0.9", "training.momentum"),
        ('kind = "image"', 'kind = "film"', "data.kind"),
        ("shape = [1, 4, 4]", "shape = [4, 4]", "data: .*shape of 3 numbers"),
        ("seed = 3", "seed = ", "is not TOML"),
        ("steps = 30", "steps = 30\ncoarse = 1.0", ".*training.coarse is for categorical"),
        ('sha256 = "00', 'sha256 = "xx', "source.sha256"),
    ],
)
def test_errors_name_the_file_and_the_field(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    file = write_recipe(tmp_path, old, new)
    with pytest.raises(RecipeError, match=rf"tiny\.toml: {message}"):
        read_recipe(file)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot be read"):
        read_recipe(tmp_path / "none.toml")
