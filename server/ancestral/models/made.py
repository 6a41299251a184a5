"""MADE (Germain et al. 2015, "MADE: Masked Autoencoder for Distribution Estimation").

An autoencoder whose weights are masked so that output d reads inputs before d in the ordering
(equations 12 to 14).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ancestral.likelihoods.base import Likelihood
from ancestral.models.data import ConditionSpec, DataSpec
from ancestral.models.network import Encoding, ParamsLayout


class MADE(nn.Module):
    """x [B, N] or an image [B, C, H, W] -> params [B, N, P], a P-vector for each dimension.

    An image's dimensions run over rows, columns and channels. `order` (rank -> position) or the
    seed of a random one; None is the order of positions. `orders` holds several, of an ensemble
    (section 4.2): under each the weights are masked anew, and an item's likelihood is the mean of
    its likelihoods. `degree_seed` draws the hidden units' degrees as in section 3.1, for each order
    others; None spreads them evenly. `direct` connects input and output (section 3.4). `classes`: a
    label adds a bias to the first hidden layer and, since no hidden unit feeds the first dimension,
    to the output.
    """

    reads: ClassVar[Encoding] = "unit"
    answers: ClassVar[ParamsLayout] = "channels-last"

    def __init__(
        self,
        dims: int,
        n_params: int,
        *,
        hidden: Sequence[int],
        order: Sequence[int] | int | None = None,
        orders: Sequence[Sequence[int] | int | None] = (),
        degree_seed: int | None = None,
        direct: bool = False,
        activation: Literal["relu", "softplus"] = "relu",
        classes: Sequence[int] = (),
    ) -> None:
        super().__init__()
        if not hidden:
            raise ValueError("hidden must name at least one layer")
        if activation not in ("relu", "softplus"):
            raise ValueError(f"unknown activation {activation!r}")
        self.n_params = n_params
        self.activation = F.relu if activation == "relu" else F.softplus
        if orders and order is not None:
            raise ValueError("order is for one order, orders for several: give one of them")
        permutations = [ordering(dims, one) for one in orders or [order]]
        self.orders = {f"order-{k}": one for k, one in enumerate(permutations)} if orders else {}
        ranks = [1 + np.argsort(one) for one in permutations]  # 1 … N, by position
        seeds = [None if degree_seed is None else degree_seed + k for k in range(len(ranks))]
        degrees = [
            [own, *hidden_degrees(dims, hidden, seed)]
            for own, seed in zip(ranks, seeds, strict=True)
        ]
        self.hidden = nn.ModuleList(
            MaskedLinear([own[i + 1][:, None] >= own[i][None, :] for own in degrees])
            for i in range(len(hidden))
        )
        outputs = [np.repeat(own, n_params)[:, None] for own in ranks]
        self.output = MaskedLinear(
            [last > own[-1][None, :] for last, own in zip(outputs, degrees, strict=True)]
        )
        self.direct = (
            MaskedLinear(
                [last > own[None, :] for last, own in zip(outputs, ranks, strict=True)], bias=False
            )
            if direct
            else None
        )
        self.labels = nn.ModuleList(
            nn.Embedding(count, hidden[0] + dims * n_params) for count in classes
        )

    @classmethod
    def for_data(
        cls,
        data: DataSpec,
        likelihood: Likelihood,
        conditions: Sequence[ConditionSpec],
        encoding: str,
        **hyperparameters: object,
    ) -> Self:
        """The module for that data; `order` in the hyper-parameters counts all dimensions."""
        if not data.shape:
            raise ValueError(f"made models items of one size, not {data.kind} data")
        if any(condition.kind != "label" for condition in conditions):
            raise ValueError("made takes labels as conditions only")
        if encoding not in ("unit", "signed"):
            raise ValueError(f"made reads values: the encoding is unit or signed, not {encoding}")
        if likelihood.joint:
            raise ValueError("made gives every dimension parameters of its own")
        classes = [condition.classes or 0 for condition in conditions]
        dims = int(np.prod(data.shape))
        if hyperparameters.get("orders") and data.dims_per_site > 1:
            raise ValueError("made takes several orders of pixels of one channel only")
        return cls(dims, likelihood.n_params, classes=classes, **hyperparameters)  # type: ignore[arg-type]

    def forward(self, x: Tensor, *labels: Tensor) -> Tensor:
        """The params under its order, or the first of them."""
        return self._masked(0, x, *labels)

    def under(self, name: str, x: Tensor, *labels: Tensor) -> Tensor:
        """The params under one of its orders."""
        return self._masked(list(self.orders).index(name), x, *labels)

    def _masked(self, number: int, x: Tensor, *labels: Tensor) -> Tensor:
        flat = x.permute(0, 2, 3, 1).flatten(1) if x.dim() == 4 else x
        h: Tensor = self.hidden[0](flat, number)
        biases = [embed(label) for embed, label in zip(self.labels, labels, strict=True)]
        width = h.shape[1]
        for bias in biases:
            h = h + bias[:, :width]
        h = self.activation(h)
        for layer in list(self.hidden)[1:]:
            h = self.activation(layer(h, number))
        out: Tensor = self.output(h, number)
        if self.direct is not None:
            out = out + self.direct(flat, number)
        for bias in biases:
            out = out + bias[:, width:]
        return out.reshape(x.shape[0], -1, self.n_params)


class MaskedLinear(nn.Linear):
    """y = (W · M) x + b, with one of the fixed masks M [out, in]."""

    def __init__(self, masks: Sequence[npt.NDArray[np.bool_]], bias: bool = True) -> None:
        super().__init__(masks[0].shape[1], masks[0].shape[0], bias=bias)
        for number, mask in enumerate(masks):
            self.register_buffer(f"mask_{number}", torch.from_numpy(mask), persistent=False)

    def forward(self, x: Tensor, number: int = 0) -> Tensor:
        return F.linear(x, self.weight * self.get_buffer(f"mask_{number}"), self.bias)


def ordering(dims: int, order: Sequence[int] | int | None) -> npt.NDArray[np.int64]:
    """rank -> position; an integer seeds a random permutation."""
    if order is None:
        return np.arange(dims)
    if isinstance(order, int):
        return np.random.default_rng(order).permutation(dims)
    if sorted(order) != list(range(dims)):
        raise ValueError(f"order must be a permutation of the {dims} dimensions")
    return np.asarray(order, dtype=np.int64)


def hidden_degrees(
    dims: int, hidden: Sequence[int], seed: int | None
) -> list[npt.NDArray[np.int64]]:
    """Degrees in 1 … N-1 of every hidden layer: evenly spread, or drawn as in equation 11."""
    highest = max(1, dims - 1)
    if seed is None:
        return [1 + np.arange(units) * highest // units for units in hidden]
    generator = np.random.default_rng(seed)
    degrees: list[npt.NDArray[np.int64]] = []
    lowest = 1
    for units in hidden:
        degrees.append(generator.integers(lowest, highest, units, endpoint=True))
        lowest = int(degrees[-1].min())
    return degrees
