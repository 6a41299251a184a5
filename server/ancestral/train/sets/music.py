"""Sets of music, as tokens."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from ancestral.train.datasets import Array, DataSet, Split, named
from ancestral.train.recipe import Recipe

BAR = 16  # sixteenths
LOWEST, HIGHEST = 36, 84  # what transposition keeps to


@named("chorales")
def chorales(recipe: Recipe, arrays: dict[str, Array]) -> DataSet:
    """Bach's chorales: soprano, alto, tenor and bass of every sixteenth, as MIDI pitches.

    Training reads windows that begin at a bar, as they are and transposed by up to five semitones
    either way; validation and test are whole pieces.
    """

    def pieces(name: str) -> list[Array]:
        ends = np.concatenate([[0], np.cumsum(arrays[f"{name}_len"])])
        return [arrays[name][a:b] for a, b in pairwise(ends)]

    def flat(found: list[Array]) -> Split:
        return Split([piece.reshape(-1).astype(np.uint8) for piece in found])

    steps = (recipe.training.longest or 2048) // 4
    windows = []
    for piece in pieces("train"):
        starts = range(0, max(len(piece) - steps // 2, 1), 4 * BAR)
        for shift in range(-5, 6):
            moved = np.where(piece == 0, 0, piece + np.int64(shift))
            voiced = moved[moved > 0]
            if shift == 0 or (voiced.min() >= LOWEST and voiced.max() <= HIGHEST):
                windows += [moved[start : start + steps] for start in starts]
    return DataSet(flat(windows), flat(pieces("valid")), flat(pieces("test")), "Bach chorales")
