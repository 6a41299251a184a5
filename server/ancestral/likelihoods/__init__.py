"""What a parameter vector means, and the noise that samples are drawn with."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ancestral.likelihoods.base import Likelihood
from ancestral.likelihoods.bernoulli import Bernoulli
from ancestral.likelihoods.categorical import Categorical
from ancestral.likelihoods.discretized_logistic_mixture import DiscretizedLogisticMixture
from ancestral.likelihoods.gaussian import Gaussian, MixtureOfGaussians
from ancestral.likelihoods.mixture_of_logistics import MixtureOfLogistics

__all__ = ["KINDS", "Likelihood", "from_config", "to_config"]

KINDS: dict[str, type[Any]] = {
    kind.name: kind
    for kind in (
        Bernoulli,
        Categorical,
        DiscretizedLogisticMixture,
        Gaussian,
        MixtureOfGaussians,
        MixtureOfLogistics,
    )
}


def from_config(config: Mapping[str, Any]) -> Likelihood:
    """The likelihood of a manifest's `{"kind": …, …}`.

    Raises ValueError for an unknown kind or numbers out of range, TypeError for unknown keys.
    """
    fields = dict(config)
    kind = fields.pop("kind", None)
    if kind not in KINDS:
        raise ValueError(f"unknown kind {kind!r}; known: {', '.join(sorted(KINDS))}")
    likelihood: Likelihood = KINDS[kind](**fields)
    return likelihood


def to_config(likelihood: Likelihood) -> dict[str, Any]:
    """What `from_config` makes this likelihood of."""
    kind = KINDS[likelihood.name]
    fields = (field.name for field in dataclasses.fields(kind))
    return {"kind": likelihood.name} | {name: getattr(likelihood, name) for name in fields}
