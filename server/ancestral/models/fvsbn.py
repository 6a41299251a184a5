"""FVSBN, the fully visible sigmoid belief network (Neal 1992; Frey et al. 1996).

Every dimension is a logistic regression on those before it:
p(x_d = 1 | x_<d) = σ(b_d + Σ_{j<d} W_dj x_j).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ancestral.likelihoods.base import Likelihood
from ancestral.models.data import ConditionSpec, DataSpec
from ancestral.models.network import Encoding, ParamsLayout


class FVSBN(nn.Module):
    """x [B, N] or an image [B, C, H, W] -> params [B, N, P]: under Bernoulli, one logit each.

    An image's dimensions run over rows, columns and channels. The weights are strictly lower
    triangular by blocks of P rows.
    """

    reads: ClassVar[Encoding] = "unit"
    answers: ClassVar[ParamsLayout] = "channels-last"
    mask: Tensor

    def __init__(self, dims: int, n_params: int) -> None:
        super().__init__()
        self.n_params = n_params
        self.weight = nn.Parameter(torch.zeros(dims * n_params, dims))
        self.bias = nn.Parameter(torch.zeros(dims * n_params))
        earlier = torch.ones(dims, dims).tril(-1)
        self.register_buffer("mask", earlier.repeat_interleave(n_params, 0), persistent=False)

    @classmethod
    def for_data(
        cls,
        data: DataSpec,
        likelihood: Likelihood,
        conditions: Sequence[ConditionSpec],
        encoding: str,
        **hyperparameters: object,
    ) -> Self:
        """The module for that data. It has no hyper-parameters."""
        dims = dimensions("fvsbn", data, likelihood, conditions, encoding)
        return cls(dims, likelihood.n_params, **hyperparameters)

    def forward(self, x: Tensor) -> Tensor:
        logits = F.linear(in_order(x), self.weight * self.mask, self.bias)
        return logits.reshape(x.shape[0], -1, self.n_params)


def in_order(x: Tensor) -> Tensor:
    """Items as [B, N]: an image by rows, columns and channels."""
    return x.permute(0, 2, 3, 1).flatten(1) if x.dim() == 4 else x


def dimensions(
    family: str,
    data: DataSpec,
    likelihood: Likelihood,
    conditions: Sequence[ConditionSpec],
    encoding: str,
) -> int:
    """The dimensions of items of one size, each with parameters of its own. Raises ValueError."""
    if not data.shape:
        raise ValueError(f"{family} models items of one size, not {data.kind} data")
    if conditions:
        raise ValueError(f"{family} takes no conditions")
    if encoding not in ("unit", "signed"):
        raise ValueError(f"{family} reads values: the encoding is unit or signed, not {encoding}")
    if likelihood.joint:
        raise ValueError(f"{family} gives every dimension parameters of its own")
    return int(np.prod(data.shape))
