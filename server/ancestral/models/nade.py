"""NADE (Larochelle & Murray 2011) and its real-valued form RNADE (Uria et al. 2013).

The hidden units of dimension d read all dimensions before it through weights that all dimensions
share, so their pre-activations are a running sum (NADE, equation 11): scoring an item costs O(N·H).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ancestral.likelihoods.base import Likelihood
from ancestral.models.data import ConditionSpec, DataSpec
from ancestral.models.fvsbn import dimensions, in_order
from ancestral.models.network import Encoding, ParamsLayout


class NADE(nn.Module):
    """x [B, N] or an image [B, C, H, W] -> params [B, N, P].

    h_d = σ(c + Σ_{j<d} W_j x_j) (equation 9), params_d = b_d + V_d h_d (equation 8).
    """

    reads: ClassVar[Encoding] = "unit"
    answers: ClassVar[ParamsLayout] = "channels-last"

    def __init__(self, dims: int, n_params: int, *, hidden: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.05 * torch.randn(dims, hidden))
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))
        self.output = nn.Parameter(0.05 * torch.randn(dims, hidden, n_params))
        self.bias = nn.Parameter(torch.zeros(dims, n_params))

    @classmethod
    def for_data(
        cls,
        data: DataSpec,
        likelihood: Likelihood,
        conditions: Sequence[ConditionSpec],
        encoding: str,
        **hyperparameters: object,
    ) -> Self:
        """The module for that data."""
        dims = dimensions("nade", data, likelihood, conditions, encoding)
        return cls(dims, likelihood.n_params, **hyperparameters)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return self.read_out(torch.sigmoid(self.hidden_bias + self.running_sums(in_order(x))))

    def running_sums(self, x: Tensor) -> Tensor:
        """Σ_{j<d} W_j x_j for every d, [B, N, H]."""
        sums = torch.cumsum(x[..., None] * self.weight, 1)
        return F.pad(sums, (0, 0, 1, 0))[:, :-1]

    def read_out(self, h: Tensor) -> Tensor:
        """Every dimension's hidden units through weights of its own, [B, N, P]."""
        return torch.bmm(h.transpose(0, 1), self.output).transpose(0, 1) + self.bias


class RNADE(NADE):
    """NADE for real values: rectified units, rescaled by rank (RNADE, equations 4 and 5).

    The likelihood's parameters (of a mixture of Gaussians: logits, means and log scales, its
    equations 8 to 10) are linear in the hidden units.
    """

    def __init__(self, dims: int, n_params: int, *, hidden: int) -> None:
        super().__init__(dims, n_params, hidden=hidden)
        # Dimension d sums d terms; dividing by √(d + 1) keeps the units' scale.
        self.scale = nn.Parameter(torch.arange(1.0, dims + 1).rsqrt())

    @classmethod
    def for_data(
        cls,
        data: DataSpec,
        likelihood: Likelihood,
        conditions: Sequence[ConditionSpec],
        encoding: str,
        **hyperparameters: object,
    ) -> Self:
        """The module for real-valued data."""
        if data.levels is not None:
            raise ValueError("rnade models real values; for codes take nade")
        dims = dimensions("rnade", data, likelihood, conditions, encoding)
        return cls(dims, likelihood.n_params, **hyperparameters)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        sums = self.hidden_bias + self.running_sums(in_order(x))
        return self.read_out(torch.relu(self.scale[:, None] * sums))
