"""Bernoulli: one bit from its logit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ancestral.likelihoods.base import Mass, Rank, Temperature, refuse_cuts


@dataclass(frozen=True)
class Bernoulli:
    """params [..., C, 1] are log-odds of a one. Temperature divides them."""

    name: ClassVar[str] = "bernoulli"
    discrete: ClassVar[bool] = True
    joint: ClassVar[bool] = False
    n_params: ClassVar[int] = 1

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        logit = params[..., 0]
        return F.logsigmoid(torch.where(x > 0, logit, -logit))

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
        logit = params[..., 0]
        if isinstance(temperature, Tensor):
            even = torch.sigmoid(-logit / torch.where(temperature == 0, 1.0, temperature))
            return torch.where(temperature == 0, logit > 0, u[..., 0] >= even).long()
        if temperature == 0:
            return (logit > 0).long()
        # the CDF steps from 0 to P(0) at zero, to 1 at one
        return (u[..., 0] >= torch.sigmoid(-logit / temperature)).long()
