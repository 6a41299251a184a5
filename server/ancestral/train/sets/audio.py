"""Sets of sounds."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from ancestral.media import MuLaw
from ancestral.train.datasets import Array, DataSet, Split, named
from ancestral.train.recipe import Recipe


@named("spoken-digits")
def spoken_digits(recipe: Recipe, arrays: dict[str, Array]) -> DataSet:
    """Free Spoken Digit Dataset as mu-law codes; every thirtieth training clip validates.

    Its labels are the conditions that the recipe names: `digit` and `speaker`, these by name.
    """
    codec = recipe.data.media_codec
    assert isinstance(codec, MuLaw)
    codes = codec.encode(arrays["x"] / 32768.0).astype(np.uint8)
    offsets, is_test = arrays["offsets"], arrays["is_test"].astype(bool)
    _, speakers = np.unique(arrays["speaker"], return_inverse=True)
    known = {"digit": arrays["digit"].astype(np.int64), "speaker": speakers.astype(np.int64)}
    clips = [codes[a:b] for a, b in pairwise(offsets)]
    whole = Split(clips, tuple(known[condition.name] for condition in recipe.conditions))
    training, test = np.flatnonzero(~is_test), np.flatnonzero(is_test)
    validation = training[::30]
    return DataSet(
        whole.take(np.setdiff1d(training, validation)),
        whole.take(validation),
        whole.take(test),
        "Free Spoken Digit Dataset",
    )
