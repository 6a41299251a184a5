"""Categorical: one of K codes from their logits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ancestral.likelihoods.base import Mass, Rank, Temperature, check_count


@dataclass(frozen=True)
class Categorical:
    """params [..., C, K] are logits. Temperature divides them, before the cuts; 0 is the mode."""

    levels: int

    name: ClassVar[str] = "categorical"
    discrete: ClassVar[bool] = True
    joint: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_count("levels", self.levels, 2)

    @property
    def n_params(self) -> int:
        return self.levels

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        chosen = params.gather(-1, x.long().unsqueeze(-1)).squeeze(-1)
        return chosen - params.logsumexp(-1)

    def sample(
        self,
        params: Tensor,
        u: Tensor,
        *,
        temperature: Temperature = 1.0,
        top_k: Rank | None = None,
        top_p: Mass | None = None,
    ) -> Tensor:
        if not isinstance(temperature, Tensor) and temperature == 0:
            return params.argmax(-1)
        logits = cut(temper(params, temperature), top_k, top_p)
        return choose(logits, u[..., 0])


def temper(logits: Tensor, temperature: Temperature) -> Tensor:
    """Logits [..., K] over a temperature above 0, in float64, the largest moved to 0.

    So no temperature, however small, overflows the largest. Where a temperature of a tensor [...]
    is 0, only the likeliest remains.
    """
    moved = (logits - logits.amax(-1, keepdim=True)).double()
    if not isinstance(temperature, Tensor):
        return moved / temperature
    greedy, each = (temperature == 0).unsqueeze(-1), temperature.unsqueeze(-1)
    code = torch.arange(logits.shape[-1], device=logits.device)
    other = greedy & (code != logits.argmax(-1, keepdim=True))
    return (moved / torch.where(greedy, 1.0, each)).masked_fill(other, -math.inf)


def choose(logits: Tensor, u: Tensor) -> Tensor:
    """The category [...] at which the CDF of logits [..., K] first exceeds u [...]."""
    # float64 whatever the logits are, so that the last bin is not lost to rounding
    cdf = logits.double().softmax(-1).cumsum(-1)
    index = (cdf <= u.double().unsqueeze(-1) * cdf[..., -1:]).sum(-1)
    return index.clamp(max=logits.shape[-1] - 1)


def cut(logits: Tensor, top_k: Rank | None, top_p: Mass | None) -> Tensor:
    """Logits [..., K] with -inf outside the top_k likeliest and the nucleus of mass top_p.

    The nucleus is the smallest set of likeliest categories that holds top_p (Holtzman et al.
    2020). Ties at the k-th place keep the lower codes. Raises ValueError for a cut that would keep
    nothing, or for more than the whole mass.
    """
    if top_k is None and top_p is None:
        return logits
    if isinstance(top_k, Tensor) or isinstance(top_p, Tensor):
        return _cut_each(logits, top_k, top_p)
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k must be at least 1, not {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p must lie in (0, 1], not {top_p}")
    ranked, index = logits.sort(dim=-1, descending=True, stable=True)
    keep = torch.ones_like(ranked, dtype=torch.bool)
    if top_k is not None:
        keep[..., top_k:] = False
    if top_p is not None:
        mass = ranked.masked_fill(~keep, -math.inf).double().softmax(-1).cumsum(-1)
        keep[..., 1:] &= mass[..., :-1] < top_p
    kept = torch.zeros_like(keep).scatter(-1, index, keep)
    return logits.masked_fill(~kept, -math.inf)


def _cut_each(logits: Tensor, top_k: Rank | None, top_p: Mass | None) -> Tensor:
    """The same with cuts [...] of the items' own, in operators that hold whatever they are."""
    ranked, index = logits.sort(dim=-1, descending=True, stable=True)
    keep = torch.ones_like(ranked, dtype=torch.bool)
    if top_k is not None:
        rank = torch.arange(logits.shape[-1], device=logits.device)
        keep = keep & (rank < _column(top_k))
    if top_p is not None:
        mass = ranked.masked_fill(~keep, -math.inf).double().softmax(-1).cumsum(-1)
        within = mass < _column(top_p)
        keep = keep & torch.cat([torch.ones_like(within[..., :1]), within[..., :-1]], -1)
    kept = torch.zeros_like(keep).scatter(-1, index, keep)
    return logits.masked_fill(~kept, -math.inf)


def _column(cut: Rank | Mass) -> Tensor | float:
    return cut.unsqueeze(-1) if isinstance(cut, Tensor) else cut
