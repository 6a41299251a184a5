"""Locally masked convolutions (Jain, Abbeel and Pathak 2020, "Locally Masked Convolution for
Autoregressive Models"): a network over images that follows any generation order.
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
from ancestral.models.orders import all_named


class LMConv(nn.Module):
    """x [B, C, H, W] -> params [B, P, H, W] under one of the orders, or any other.

    `orders` names those that it is trained under and averaged over (see `models.orders`): the
    likelihood of an item is the mean of its likelihoods under each. `dilations` has an entry for
    every residual block.
    """

    reads: ClassVar[Encoding] = "signed"
    answers: ClassVar[ParamsLayout] = "channels-first"

    def __init__(
        self,
        channels: int,
        size: tuple[int, int],
        n_params: int,
        *,
        orders: Sequence[str],
        hidden: int,
        inner: int,
        dilations: Sequence[int],
        kernel: int = 3,
        classes: Sequence[int] = (),
    ) -> None:
        super().__init__()
        if kernel % 2 == 0:
            raise ValueError(f"kernel must be odd, not {kernel}")
        self.orders = all_named(orders, *size)
        self.first = LocallyMasked(channels, hidden, kernel, strict=True)
        self.blocks = nn.ModuleList(Block(hidden, inner, kernel, rate) for rate in dilations)
        self.norm = ChannelNorm(hidden)
        self.last = nn.Conv2d(hidden, n_params, 1)
        self.labels = nn.ModuleList(nn.Embedding(count, hidden) for count in classes)
        for number, order in enumerate(self.orders.values()):
            ranks = torch.from_numpy(1.0 + np.argsort(order)).float().reshape(1, 1, *size)
            self.register_buffer(f"ranks_{number}", ranks, persistent=False)

    @classmethod
    def for_data(
        cls,
        data: DataSpec,
        likelihood: Likelihood,
        conditions: Sequence[ConditionSpec],
        encoding: str,
        **hyperparameters: object,
    ) -> Self:
        """The module for that data: images whose channels are one, or drawn jointly."""
        if data.kind != "image":
            raise ValueError(f"lmconv models images, not {data.kind} data")
        if any(condition.kind != "label" for condition in conditions):
            raise ValueError("lmconv takes labels as conditions only")
        if encoding not in ("unit", "signed"):
            raise ValueError(f"lmconv reads values: the encoding is unit or signed, not {encoding}")
        channels, height, width = data.shape
        if channels > 1 and not likelihood.joint:
            raise ValueError("lmconv does not order channels: their likelihood must be joint")
        classes = [condition.classes or 0 for condition in conditions]
        size = (height, width)
        return cls(channels, size, likelihood.n_params, classes=classes, **hyperparameters)  # type: ignore[arg-type]

    def forward(self, x: Tensor, *labels: Tensor) -> Tensor:
        """The params under the first of its orders."""
        return self.under(next(iter(self.orders)), x, *labels)

    def under(self, name: str, x: Tensor, *labels: Tensor) -> Tensor:
        """The params under one of its orders."""
        number = list(self.orders).index(name)
        return self.follow(x, self.get_buffer(f"ranks_{number}"), *labels)

    def follow(self, x: Tensor, ranks: Tensor, *labels: Tensor) -> Tensor:
        """The params under any order, given as each pixel's rank, 1 … H·W: [1, 1, H, W]."""
        h: Tensor = self.first(x, ranks)
        for embed, label in zip(self.labels, labels, strict=True):
            h = h + embed(label)[:, :, None, None]
        for block in self.blocks:
            h = block(h, ranks)
        out: Tensor = self.last(F.elu(self.norm(h)))
        return out


class LocallyMasked(nn.Module):
    """y[p] = W (mask[p] · patch[p]) + b (section 4, equation 4): every position has its own mask.

    The patch of p is what the kernel covers around it; the mask keeps what comes before p in the
    order, and p itself unless `strict`.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, strict: bool = False, dilation: int = 1
    ) -> None:
        super().__init__()
        self.kernel, self.dilation, self.strict = kernel, dilation, strict
        bound = (inputs * kernel * kernel / 2) ** -0.5  # about half of a patch is masked
        self.weight = nn.Parameter(
            torch.empty(outputs, inputs * kernel * kernel).uniform_(-bound, bound)
        )
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor, ranks: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        taps = self.kernel * self.kernel
        patches = self.patches(x).reshape(batch, channels, taps, height * width)
        masked = patches.masked_fill(~self.mask(ranks), 0).flatten(1, 2)
        out = self.weight @ masked + self.bias[:, None]
        return out.reshape(batch, -1, height, width)

    def patches(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C · taps, H · W], zero beyond the edges."""
        padding = self.dilation * (self.kernel // 2)
        return F.unfold(x, self.kernel, dilation=self.dilation, padding=padding)

    def mask(self, ranks: Tensor) -> Tensor:
        """Ranks from 1 on, [1, 1, H, W] -> whether a tap is read, [1, taps, H · W]."""
        neighbours = self.patches(ranks)
        own = ranks.flatten(2)
        earlier = neighbours < own if self.strict else neighbours <= own
        return earlier & (neighbours > 0)


class Block(nn.Module):
    """x + project(elu(local(elu(norm(x))))), pre-activation."""

    def __init__(self, hidden: int, inner: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(hidden)
        self.reduce = nn.Conv2d(hidden, inner, 1)
        self.local = LocallyMasked(inner, inner, kernel, dilation=dilation)
        self.expand = nn.Conv2d(inner, hidden, 1)

    def forward(self, x: Tensor, ranks: Tensor) -> Tensor:
        h = self.reduce(F.elu(self.norm(x)))
        h = self.local(F.elu(h), ranks)
        out: Tensor = x + self.expand(F.elu(h))
        return out


class ChannelNorm(nn.Module):
    """Layer norm over the channels of each pixel (positional normalisation, Li et al. 2019)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        last = F.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias)
        return last.permute(0, 3, 1, 2)
