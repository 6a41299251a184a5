"""The logistic distribution over codes: integrated over each code's bin, the end bins open.

Codes 0 … levels-1 stand for evenly spaced points of [-1, 1], as means and scales do; a code's bin
reaches half a step to both sides, the first to -∞ and the last to ∞ (Salimans et al. 2017,
PixelCNN++, equation 2). Everything is computed in steps of one code, where the edges are exact.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ancestral.likelihoods.base import Temperature


def to_signed(codes: Tensor, levels: int, dtype: torch.dtype) -> Tensor:
    """The points of [-1, 1] that codes stand for."""
    return codes.to(dtype) * (2 / (levels - 1)) - 1


def bin_log_prob(codes: Tensor, mean: Tensor, log_scale: Tensor, levels: int) -> Tensor:
    """Nats of codes under logistics in [-1, 1]; the arguments broadcast.

    log(σ(b) - σ(a)) = log σ(b) + log σ(-a) + log(1 - exp(a - b)): no term cancels, however far
    the bin (a, b) lies in a tail.
    """
    step = (2 / (levels - 1)) * torch.exp(-log_scale)  # the width of a bin in scales
    offset = codes.to(mean.dtype) - (mean + 1) * ((levels - 1) / 2)
    below_upper = F.logsigmoid((offset + 0.5) * step)
    above_lower = F.logsigmoid((0.5 - offset) * step)
    inside = below_upper + above_lower + torch.log(-torch.expm1(-step))
    ends = torch.where(codes <= 0, below_upper, above_lower)
    return torch.where((codes > 0) & (codes < levels - 1), inside, ends)


def deviation(log_scale: Tensor, u: Tensor, temperature: Temperature) -> Tensor:
    """Distances from the mean by inverse CDF of uniforms u, in float64.

    `temperature` multiplies the scale. With `nearest_code` this draws codes by exactly the bins'
    probabilities.
    """
    u = u.double()
    return log_scale.double().exp() * temperature * (u.log() - torch.log1p(-u))


def nearest_code(value: Tensor, levels: int) -> Tensor:
    """The codes in whose bins points of the real line fall."""
    steps = (value + 1) * ((levels - 1) / 2) + 0.5
    return steps.floor().clamp(0, levels - 1).long()
