"""Sets of sounds."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from ancestral.media import Linear, MuLaw
from ancestral.train.datasets import Array, DataError, DataSet, Series, Split, named
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


@named("drum-one-shots")
def drum_one_shots(recipe: Recipe, arrays: dict[str, Array]) -> DataSet:
    """Sonic Pi's bass drums, drums, hits, percussion, snares and tablas, mu-law codes as stored.

    Of each kind every eighth clip is a test clip, and the one after it validates. The condition
    `drum`, if the recipe names it, is the kind, by name.
    """
    names, offsets = arrays["names"], arrays["offsets"]
    kinds = np.array([name.split("_")[0] for name in names])
    wanted = sorted({"bd", "drum", "elec", "perc", "sn", "tabla"})
    chosen = np.flatnonzero(np.isin(kinds, wanted))
    clips = [arrays["x"][offsets[i] : offsets[i + 1]] for i in chosen]
    labels = np.searchsorted(wanted, kinds[chosen])
    whole = Split(clips, tuple(labels.astype(np.int64) for _ in recipe.conditions))
    turn = np.array([int((labels[:i] == labels[i]).sum()) % 8 for i in range(len(labels))])
    training, validation, test = (
        np.flatnonzero(m) for m in ((turn != 3) & (turn != 4), turn == 4, turn == 3)
    )
    return DataSet(
        whole.take(training), whole.take(validation), whole.take(test), "Sonic Pi one-shots"
    )


TONES = ("ascending-2tone", "beep", "beeperr", "confbridge-join", "confbridge-leave",
         "descending-2tone")  # fmt: skip
EXCERPT = 4000  # samples of what is validated and tested on: half a second


@named("one-voice")
def one_voice(recipe: Recipe, arrays: dict[str, Array]) -> DataSet:
    """Telephone prompts of one English voice, conditioned on frames as the recipe defines them.

    Clips are padded with silence to whole frames, which are those of the whole clip. By name, every
    tenth clip tests and the fifth after it validates, in excerpts of half a second; training reads
    windows of `longest` samples. Signal tones are left out. Raises DataError.
    """
    codec = recipe.data.media_codec
    assert isinstance(codec, MuLaw | Linear)
    if len(recipe.conditions) != 1 or recipe.conditions[0].frames is None:
        raise DataError("one-voice has one condition: a series whose frames the recipe defines")
    measure = recipe.conditions[0].measure(recipe.data.sample_rate or 0)
    assert measure is not None
    codes, frames = [], []
    for name, (a, b) in zip(arrays["names"], pairwise(arrays["offsets"]), strict=True):
        if name not in TONES:
            sound = np.pad(arrays["x"][a:b] / 32768.0, (0, -(b - a) % measure.hop))
            codes.append(codec.encode(sound).astype(np.int16))
            frames.append(measure(sound))
    whole = Split(codes, (Series(frames, measure.hop),))
    turn = np.arange(len(codes)) % 10
    training, validation, test = (
        whole.take(np.flatnonzero(m)) for m in ((turn != 0) & (turn != 5), turn == 5, turn == 0)
    )
    return DataSet(
        training.windows(recipe.training.longest or EXCERPT),
        validation.windows(EXCERPT),
        test.windows(EXCERPT),
        "prompts of one voice from the Asterisk core sounds",
    )
