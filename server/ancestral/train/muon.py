"""Muon (Jordan et al. 2024): momentum whose matrices are made orthogonal before they are applied.

A convolution's kernel counts as the matrix [out, in · taps].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

# Coefficients of the quintic iteration; they trade exactness for a steep rise of small values.
_A, _B, _C = 3.4445, -4.775, 2.0315


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised, at the scale of Adam's steps (Liu et al. 2025, eq. 4).

    Weights decay as in AdamW, by `lr · weight_decay`. For parameters of two axes and more.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float,
        *,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            lr, momentum = group["lr"], group["momentum"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(parameter)
                buffer = state["momentum_buffer"].lerp_(parameter.grad, 1 - momentum)
                update = orthogonal(torch.lerp(parameter.grad, buffer, momentum).flatten(1))
                scale = 0.2 * math.sqrt(max(update.shape))
                parameter.mul_(1 - lr * group["weight_decay"])
                parameter.add_(update.reshape(parameter.shape), alpha=-lr * scale)


def orthogonal(matrix: Tensor, iterations: int = 5) -> Tensor:
    """Roughly U Vᵀ of a matrix's singular value decomposition, by Newton and Schulz's iteration."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix).float()
    x = x / (x.norm() + 1e-7)
    for _ in range(iterations):
        square = x @ x.T
        x = _A * x + (_B * square + _C * square @ square) @ x
    result: Tensor = (x.T if tall else x).to(matrix.dtype)
    return result
