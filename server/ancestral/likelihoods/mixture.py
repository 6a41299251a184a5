"""What the mixtures share: the layout of their parameters and the choice of a component."""

from __future__ import annotations

import torch
from torch import Tensor

from ancestral.likelihoods.base import Temperature
from ancestral.likelihoods.categorical import choose, temper


def split(params: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """[..., 3M] as M logits, M means and M log-scales."""
    logits, means, log_scales = params.chunk(3, dim=-1)
    return logits, means, log_scales


def choose_component(logits: Tensor, u: Tensor, temperature: Temperature) -> Tensor:
    """Component [..., 1] of logits [..., M] divided by temperature; the likeliest at 0."""
    if not isinstance(temperature, Tensor) and temperature == 0:
        return logits.argmax(-1, keepdim=True)
    return choose(temper(logits, temperature), u).unsqueeze(-1)


def of_component(values: Tensor, component: Tensor) -> Tensor:
    """Values [..., M] at component [..., 1] -> [...]."""
    return torch.gather(values, -1, component).squeeze(-1)
