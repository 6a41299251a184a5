"""Sets of vectors."""

from __future__ import annotations

import numpy as np

from ancestral.train.datasets import Array, DataSet, Split, named
from ancestral.train.recipe import Recipe


@named("breast-cancer")
def breast_cancer(recipe: Recipe, arrays: dict[str, Array]) -> DataSet:
    """Thirty measurements of cell nuclei, each standardised by the training items.

    Of every ten rows one validates and two test.
    """
    values = arrays["table"][:, :30]
    place = np.arange(len(values)) % 10
    training = values[place > 2]
    values = (values - training.mean(0)) / training.std(0)
    return DataSet(
        Split(values[place > 2]),
        Split(values[place == 0]),
        Split(values[(place == 1) | (place == 2)]),
        "Breast Cancer Wisconsin (Diagnostic)",
    )
