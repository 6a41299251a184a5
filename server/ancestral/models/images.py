"""What convolutional networks over images make of data, likelihood and conditions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ancestral.likelihoods.base import Likelihood
from ancestral.models.data import ConditionSpec, DataSpec


class Ends(NamedTuple):
    """Channels in and out, classes of each label, and the colours drawn one after the other."""

    inputs: int
    outputs: int
    classes: list[int]
    groups: int


def image_ends(
    family: str,
    data: DataSpec,
    likelihood: Likelihood,
    conditions: Sequence[ConditionSpec],
    encoding: str,
) -> Ends:
    """For images with labels as conditions. Raises ValueError for anything else."""
    if data.kind != "image":
        raise ValueError(f"{family} models images, not {data.kind} data")
    if any(condition.kind != "label" for condition in conditions):
        raise ValueError(f"{family} takes labels as conditions only")
    colours = data.shape[0]
    groups = 1 if likelihood.joint else colours
    return Ends(
        colours * (data.levels or 1) if encoding == "one-hot" else colours,
        groups * likelihood.n_params,
        [condition.classes or 0 for condition in conditions],
        groups,
    )
