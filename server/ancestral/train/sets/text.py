"""Sets of text."""

from __future__ import annotations

import numpy as np

from ancestral.media import Text
from ancestral.train.datasets import Array, DataError, DataSet, Split, named
from ancestral.train.recipe import Recipe

HELD_OUT = 1000  # characters of an item that validates or tests


@named("shakespeare")
def shakespeare(recipe: Recipe, arrays: dict[str, Array]) -> DataSet:
    """Running text: nine tenths train in pieces of `longest`, the rest validates and tests.

    Pieces begin anywhere, also within a word: each is read from a state of zeros.
    """
    codec = recipe.data.media_codec
    if not isinstance(codec, Text) or recipe.training.longest is None:
        raise DataError(f"{recipe.name}: a text codec and training.longest are needed")
    codes = codec.encode("".join(arrays["text"])).astype(np.uint16)
    training, rest = np.split(codes, [len(codes) * 9 // 10])
    valid, test = np.split(rest, [len(rest) // 2])
    return DataSet(
        Split(_pieces(training, recipe.training.longest)),
        Split(_pieces(valid, HELD_OUT)),
        Split(_pieces(test, HELD_OUT)),
        "Tiny Shakespeare",
    )


def _pieces(codes: Array, size: int) -> list[Array]:
    return [codes[first : first + size] for first in range(0, len(codes) - size + 1, size)]
