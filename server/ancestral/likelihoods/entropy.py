"""How uncertain a distribution is: the entropy of each dimension, given those before it."""

from __future__ import annotations

import torch
from torch import Tensor

from ancestral.likelihoods.base import Likelihood
from ancestral.likelihoods.categorical import Categorical

MOST_LEVELS = 256  # as many codes are summed over; beyond, points of the distribution
POINTS = 512
_PLASTIC = 1.32471795724474602596  # of which R2 is made: its root of x³ = x + 1


def entropy(likelihood: Likelihood, params: Tensor, x: Tensor, levels: int | None) -> Tensor:
    """params [..., D, P], values x [..., C] -> nats [..., C] of entropy, in data units.

    A dimension's distribution is given the values x of those before it. Codes 0 … levels-1 are
    summed over, up to 256 of them. Beyond, and of densities, whose entropy is the differential one
    and may be below 0, it is the mean of -log p at 512 quantiles of the quasi-random sequence R2
    (Roberts 2018, "The unreasonable effectiveness of quasirandom sequences"), good to about 1 %.
    """
    if isinstance(likelihood, Categorical):
        nats = params.log_softmax(-1)
        return -(nats.exp() * nats.clamp(min=-1e30)).sum(-1)
    if levels is not None and levels <= MOST_LEVELS:
        return torch.stack(
            [_summed(likelihood, params, x, dim, levels) for dim in range(x.shape[-1])], dim=-1
        )
    if likelihood.joint:
        raise ValueError(f"entropy of a {likelihood.name} over more than {MOST_LEVELS} levels")
    total = torch.zeros(x.shape, dtype=torch.float64, device=params.device)
    for n in range(POINTS):
        u = [(0.5 + (n + 1) / _PLASTIC**power) % 1 for power in (1, 2)]
        drawn = likelihood.sample(params, params.new_tensor(u).expand(*x.shape, 2))
        total -= likelihood.log_prob(params, drawn) / POINTS
    return total


def _summed(likelihood: Likelihood, params: Tensor, x: Tensor, dim: int, levels: int) -> Tensor:
    """-Σ p log p over the codes of one dimension, the others as they are in x: [...]."""
    total = torch.zeros(x.shape[:-1], dtype=torch.float64, device=params.device)
    for code in range(levels):
        other = x.clone()
        other[..., dim] = code
        nats = likelihood.log_prob(params, other)[..., dim]
        total -= nats.exp() * nats.clamp(min=-1e30)
    return total
