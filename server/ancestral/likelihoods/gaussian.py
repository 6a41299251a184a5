"""Gaussian, and mixtures of Gaussians, of real-valued dimensions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ancestral.likelihoods.base import Mass, Rank, Temperature, check_count, refuse_cuts
from ancestral.likelihoods.mixture import choose_component, of_component, split

_LOG_SQRT_TAU = 0.5 * math.log(2 * math.pi)


@dataclass(frozen=True)
class Gaussian:
    """params [..., C, 2] are mean and log of the standard deviation.

    Temperature multiplies the standard deviation; at 0 a sample is the mean.
    """

    name: ClassVar[str] = "gaussian"
    discrete: ClassVar[bool] = False
    joint: ClassVar[bool] = False
    n_params: ClassVar[int] = 2

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        mean, log_scale = params.unbind(-1)
        return _log_density(x.to(params.dtype), mean, log_scale)

    def sample(
        self,
        params: Tensor,
        u: Tensor,
        *,
        temperature: Temperature = 1.0,
        top_k: Rank | None = None,
        top_p: Mass | None = None,
    ) -> Tensor:
        refuse_cuts(self.name, top_k, top_p)
        mean, log_scale = params.unbind(-1)
        return _draw(mean, log_scale, u[..., 1], temperature)


@dataclass(frozen=True)
class MixtureOfGaussians:
    """params [..., C, 3M] are M logits, M means and M logs of standard deviations.

    Temperature divides the logits and multiplies the standard deviations; at 0 a sample is the
    mean of the likeliest component.
    """

    components: int

    name: ClassVar[str] = "mixture-of-gaussians"
    discrete: ClassVar[bool] = False
    joint: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_count("components", self.components, 1)

    @property
    def n_params(self) -> int:
        return 3 * self.components

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        logits, means, log_scales = split(params)
        each = _log_density(x.to(params.dtype).unsqueeze(-1), means, log_scales)
        return (logits.log_softmax(-1) + each).logsumexp(-1)

    def sample(
        self,
        params: Tensor,
        u: Tensor,
        *,
        temperature: Temperature = 1.0,
        top_k: Rank | None = None,
        top_p: Mass | None = None,
    ) -> Tensor:
        refuse_cuts(self.name, top_k, top_p)
        logits, means, log_scales = split(params)
        chosen = choose_component(logits, u[..., 0], temperature)
        mean, log_scale = of_component(means, chosen), of_component(log_scales, chosen)
        return _draw(mean, log_scale, u[..., 1], temperature)


def _log_density(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    standard = (x - mean) * torch.exp(-log_scale)
    return -0.5 * standard.square() - log_scale - _LOG_SQRT_TAU


def _draw(mean: Tensor, log_scale: Tensor, u: Tensor, temperature: Temperature) -> Tensor:
    """Values in the dtype of mean; the quantile in float64, whose tails reach the least u."""
    standard: Tensor = torch.special.ndtri(u.double())
    value = mean.double() + log_scale.double().exp() * temperature * standard
    return value.to(mean.dtype)
