"""Distribution augmentation (Jun et al. 2020, "Distribution Augmentation for Generative Modeling").

A transformer learns p(t(x) | t) for transformations t of the data beside the data itself
(equation 3); t is a condition, added to every position as a learned vector. What is scored and
sampled is the data's own distribution, t the identity.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from ancestral.likelihoods.base import Likelihood
from ancestral.models.data import ConditionSpec, DataSpec
from ancestral.models.image_gpt import ImageGPT

TRANSFORMATION = "transformation"  # the name of the condition; its class 0 is the identity


class DistAug(ImageGPT):
    """Codes [B, C, H, W], labels int64 [B], one of them the transformation -> params [B, N, P]."""

    @classmethod
    def for_data(
        cls,
        data: DataSpec,
        likelihood: Likelihood,
        conditions: Sequence[ConditionSpec],
        encoding: str,
        **hyperparameters: object,
    ) -> Self:
        """The module for that data and those conditions."""
        if data.kind != "image":
            raise ValueError(f"distaug transforms images, not {data.kind} data")
        if TRANSFORMATION not in [condition.name for condition in conditions]:
            raise ValueError(f"distaug needs a label condition named {TRANSFORMATION}")
        return super().for_data(data, likelihood, conditions, encoding, **hyperparameters)
