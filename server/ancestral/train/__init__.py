"""From a recipe and data to a model package."""

from __future__ import annotations

import ancestral.train.sets  # noqa: F401  (registers the data sets that recipes name)
from ancestral.train.calibration import calibrate
from ancestral.train.datasets import DataError
from ancestral.train.recipe import Recipe, RecipeError, read_recipe
from ancestral.train.run import train

__all__ = ["DataError", "Recipe", "RecipeError", "calibrate", "read_recipe", "train"]
