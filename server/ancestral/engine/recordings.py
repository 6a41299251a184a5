"""Conditions that are given as files: arrays of numbers, or the recording that they describe."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from ancestral.engine.conditions import ConditionError
from ancestral.media import MediaError
from ancestral.media.decode import media_type, read_sound
from ancestral.media.errors import LARGEST
from ancestral.media.npy import read_npy
from ancestral.store.manifest import Manifest


def read_condition(
    body: bytes,
    name: str,
    manifest: Manifest,
    content_type: str | None = None,
    *,
    fit: bool = False,
    most: int = LARGEST,
) -> tuple[npt.NDArray[Any], list[str]]:
    """The values of the condition `name` in an NPY file, or the frames of a WAV file's sound.

    A sound is measured as the manifest's `frames` say: [channels, ⌈T / hop⌉]. It must be mono and
    of the data's rate, unless `fit` says to make it so; the steps that this took come second. A
    file of more than `most` samples is not decoded. Raises ConditionError, which names the field.
    """
    entries = {entry.name: entry for entry in manifest.conditions}
    if name not in entries:
        takes = f"it takes {', '.join(entries)}" if entries else "it takes none"
        raise ConditionError(name, f"the model has no such condition; {takes}")
    try:
        kind = media_type(body, content_type)
        if kind == "npy":
            return read_npy(body), []
        measure = entries[name].measure(manifest.data.sample_rate or 0)
        if kind != "wav" or measure is None:
            taken = "NPY" if measure is None else "NPY or WAV"
            raise ConditionError(name, f"a file is {taken} here, not {kind.upper()}")
        sound, steps = read_sound(body, manifest.data.sample_rate, fit=fit, most=most)
        length = manifest.data.length
        if length is not None and len(sound) > length.maximum:
            raise ConditionError(name, f"has {len(sound)} samples; {length.maximum} are the most")
        return measure(sound), [f"{name}: {step}" for step in steps]
    except MediaError as error:
        raise ConditionError(name, str(error)) from error
