"""MADE (Germain et al. 2015, "MADE: Masked Autoencoder for Distribution Estimation").

An autoencoder whose weights are masked so that output d reads inputs before d in the ordering
(equations 12 to 14).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
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
    seed of a random one; None is the order of positions. `degree_seed` draws the hidden units'
    degrees as in section 3.1; None spreads them evenly. `direct` connects input and output
    (section 3.4). `classes`: a label adds a bias to the first hidden layer
    and, since no hidden unit feeds the first dimension, to the output.
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
        ranks = 1 + np.argsort(ordering(dims, order))  # 1 … N, by position
        degrees = [ranks, *hidden_degrees(dims, hidden, degree_seed)]
        self.hidden = nn.ModuleList(
            MaskedLinear(after[:, None] >= before[None, :]) for before, after in pairwise(degrees)
        )
        per_output = np.repeat(ranks, n_params)
        self.output = MaskedLinear(per_output[:, None] > degrees[-1][None, :])
        self.direct = (
            MaskedLinear(per_output[:, None] > ranks[None, :], bias=False) if direct else None
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
        return cls(dims, likelihood.n_params, classes=classes, **hyperparameters)  # type: ignore[arg-type]

    def forward(self, x: Tensor, *labels: Tensor) -> Tensor:
        flat = x.permute(0, 2, 3, 1).flatten(1) if x.dim() == 4 else x
        h: Tensor = self.hidden[0](flat)
        biases = [embed(label) for embed, label in zip(self.labels, labels, strict=True)]
        width = h.shape[1]
        for bias in biases:
            h = h + bias[:, :width]
        h = self.activation(h)
        for layer in list(self.hidden)[1:]:
            h = self.activation(layer(h))
        out: Tensor = self.output(h)
        if self.direct is not None:
            out = out + self.direct(flat)
        for bias in biases:
            out = out + bias[:, width:]
        return out.reshape(x.shape[0], -1, self.n_params)


class MaskedLinear(nn.Linear):
    """y = (W · M) x + b, with the mask [out, in] fixed."""

    mask: Tensor

    def __init__(self, mask: npt.NDArray[np.bool_], bias: bool = True) -> None:
        super().__init__(mask.shape[1], mask.shape[0], bias=bias)
        self.register_buffer("mask", torch.from_numpy(mask.astype(np.float32)), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.mask, self.bias)


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
