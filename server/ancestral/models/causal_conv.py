"""Masked temporal convolution: a stack of plain causal convolutions (van den Oord et al. 2016).

WaveNet's section 2.1 before dilation: "an equivalent of masked convolutions for 1-D data", each
layer a convolution shifted by a few steps. What it sees grows by `kernel − 1` steps a layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

import torch.nn.functional as F
from torch import Tensor, nn

from ancestral.likelihoods.base import Likelihood
from ancestral.models.data import ConditionSpec, DataSpec
from ancestral.models.network import Encoding, ParamsLayout


class CausalConv(nn.Module):
    """x [B, T] codes or values, labels -> params [B, out_channels, T].

    The first layer is shifted by one, so params at t read x before t alone: `layers · (kernel − 1)
    + 1` steps of it. `levels` given: codes, embedded; None: one real value per step. Labels are
    added to the first layer's output.
    """

    reads: ClassVar[Encoding] = "int"
    answers: ClassVar[ParamsLayout] = "channels-first"

    def __init__(
        self,
        levels: int | None,
        out_channels: int,
        *,
        channels: int,
        layers: int,
        kernel: int,
        conditions: Sequence[ConditionSpec] = (),
    ) -> None:
        super().__init__()
        self.margin = kernel - 1
        self.input = nn.Linear(1, channels) if levels is None else nn.Embedding(levels, channels)
        self.convs = nn.ModuleList(nn.Conv1d(channels, channels, kernel) for _ in range(layers))
        self.labels = nn.ModuleList(nn.Embedding(c.classes or 0, channels) for c in conditions)
        self.hidden = nn.Conv1d(channels, channels, 1)
        self.output = nn.Conv1d(channels, out_channels, 1)

    @classmethod
    def for_data(
        cls,
        data: DataSpec,
        likelihood: Likelihood,
        conditions: Sequence[ConditionSpec],
        encoding: str,
        **hyperparameters: object,
    ) -> Self:
        """The module for that data: codes are embedded under the encoding `int`."""
        if data.kind not in ("audio", "sequence", "vector"):
            raise ValueError(f"causal-conv models sequences, not {data.kind} data")
        if any(condition.kind != "label" for condition in conditions):
            raise ValueError("causal-conv takes labels as conditions")
        if encoding == "one-hot":
            raise ValueError("causal-conv embeds codes itself: the encoding is int, unit or signed")
        levels = data.levels if encoding == "int" else None
        return cls(levels, likelihood.n_params, conditions=conditions, **hyperparameters)  # type: ignore[arg-type]

    def forward(self, x: Tensor, *labels: Tensor) -> Tensor:
        h = self.input(x if isinstance(self.input, nn.Embedding) else x[..., None]).transpose(1, 2)
        h = F.pad(h, (1, 0))[..., :-1]
        for embedding, label in zip(self.labels, labels, strict=True):
            h = h + embedding(label)[..., None]
        for conv in self.convs:
            h = h + F.relu(conv(F.pad(h, (self.margin, 0))))
        params: Tensor = self.output(F.relu(self.hidden(h)))
        return params
