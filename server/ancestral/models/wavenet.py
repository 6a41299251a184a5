"""WaveNet (van den Oord et al. 2016, "WaveNet: A Generative Model for Raw Audio").

A stack of dilated causal convolutions with the gate of equation 2, residual and skip connections
(figure 4), and the conditions of section 2.5 added inside every gate. Local conditions that come in
frames are brought to the rate of the samples by learned up-sampling (section 2.5, "a transposed
convolutional network"; here each frame is repeated and smoothed, which leaves no checkerboard).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ancestral.likelihoods.base import Likelihood
from ancestral.models.data import ConditionSpec, DataSpec
from ancestral.models.network import Encoding, ParamsLayout


class WaveNet(nn.Module):
    """x [B, T] codes or values, conditions -> params [B, out_channels, T].

    The input is shifted by one inside, so params at t read x before t alone. Before the first value
    lies `start`, a code or value as x holds them, or zero activations where it is None; before that
    every layer reads zeros. `levels` given: codes, embedded (the 1×1 convolution of their
    one-hot form); None: one real value per step. `gate` defaults to `residual` channels, `final`
    to one hidden 1×1 layer of `skip` channels, as in the paper. `bias` is that of all layers but
    the last, which always has one. A series condition of hop > 1 has [B, channels, T / hop] frames;
    `upsample` are factors whose product is the hop.
    """

    reads: ClassVar[Encoding] = "int"
    answers: ClassVar[ParamsLayout] = "channels-first"

    def __init__(
        self,
        levels: int | None,
        out_channels: int,
        *,
        dilations: Sequence[int],
        residual: int,
        skip: int,
        gate: int | None = None,
        kernel: int = 2,
        final: Sequence[int] | None = None,
        bias: bool = True,
        start: float | None = None,
        upsample: Sequence[int] = (),
        upsample_kernel: int = 1,
        upsample_context: int = 0,
        conditions: Sequence[ConditionSpec] = (),
    ) -> None:
        super().__init__()
        self.start = start
        if not dilations:
            raise ValueError("dilations must name at least one layer")
        self.upsample = nn.ModuleList(
            Upsampling(condition.channels or 0, upsample, upsample_kernel, upsample_context)
            if condition.hop != 1
            else nn.Identity()
            for condition in conditions
        )
        self.input: nn.Module
        if levels is None:
            self.input = nn.Conv1d(1, residual, 1, bias=bias)
        else:
            self.input = nn.Embedding(levels, residual)
        last = len(dilations) - 1
        self.layers = nn.ModuleList(
            GatedLayer(
                residual, gate or residual, skip, kernel, dilation, bias, conditions, i < last
            )
            for i, dilation in enumerate(dilations)
        )
        widths = [skip, *([skip] if final is None else final), out_channels]
        self.final = nn.ModuleList(
            nn.Conv1d(a, b, 1, bias=bias or i == len(widths) - 2)
            for i, (a, b) in enumerate(pairwise(widths))
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
        """The module for that data: codes are embedded under the encoding `int`."""
        if data.kind not in ("audio", "sequence", "vector"):
            raise ValueError(f"wavenet models sequences, not {data.kind} data")
        if any(condition.kind == "plane" for condition in conditions):
            raise ValueError("wavenet takes labels and series as conditions")
        factors: object = hyperparameters.get("upsample", ())
        hop = prod(factors) if isinstance(factors, (list, tuple)) else 0
        if any(condition.hop not in (1, hop) for condition in conditions):
            raise ValueError("the product of upsample must be the hop of the series conditions")
        if encoding == "one-hot":
            raise ValueError("wavenet embeds codes itself: the encoding is int, unit or signed")
        levels = data.levels if encoding == "int" else None
        return cls(levels, likelihood.n_params, conditions=conditions, **hyperparameters)  # type: ignore[arg-type]

    def forward(self, x: Tensor, *conditions: Tensor) -> Tensor:
        if self.start is not None:
            x = F.pad(x, (1, 0), value=self.start)[..., :-1]
        if isinstance(self.input, nn.Embedding):
            x = self.input(x).transpose(1, 2)
        else:
            x = self.input(x.unsqueeze(1))
        if self.start is None:
            x = F.pad(x, (1, 0))[..., :-1]
        conditions = tuple(up(c) for up, c in zip(self.upsample, conditions, strict=True))
        total: Tensor | None = None
        for layer in self.layers:
            x, skip = layer(x, *conditions)
            total = skip if total is None else total + skip
        assert total is not None
        for conv in self.final:
            total = conv(F.relu(total))
        return total


class GatedLayer(nn.Module):
    """z = tanh(W_f * x + V_f h) · sigmoid(W_g * x + V_g h); x + W_r z; W_s z."""

    def __init__(
        self,
        residual: int,
        gate: int,
        skip: int,
        kernel: int,
        dilation: int,
        bias: bool,
        conditions: Sequence[ConditionSpec],
        has_residual: bool,
    ) -> None:
        super().__init__()
        self.margin = (kernel - 1) * dilation
        self.dilated = nn.Conv1d(residual, 2 * gate, kernel, dilation=dilation, bias=bias)
        self.residual = nn.Conv1d(gate, residual, 1, bias=bias) if has_residual else None
        self.skip = nn.Conv1d(gate, skip, 1, bias=bias)
        self.conditions = nn.ModuleList(
            nn.Embedding(condition.classes or 0, 2 * gate)
            if condition.kind == "label"
            else nn.Conv1d(condition.channels or 0, 2 * gate, 1, bias=False)
            for condition in conditions
        )

    def forward(self, x: Tensor, *conditions: Tensor) -> tuple[Tensor, Tensor]:
        both = self.dilated(F.pad(x, (self.margin, 0)))
        for projection, condition in zip(self.conditions, conditions, strict=True):
            projected = projection(condition)
            both = both + (projected if projected.dim() == 3 else projected[..., None])
        value, opening = both.chunk(2, dim=1)
        z = torch.tanh(value) * torch.sigmoid(opening)
        return x if self.residual is None else x + self.residual(z), self.skip(z)


class Upsampling(nn.Module):
    """Frames [B, C, F] -> [B, C, F · product of factors]: repeat each, then smooth over time.

    Each smoothing is one filter of 2s + 1 steps (and `kernel` neighbouring channels) for a factor
    of s, one for all channels; it begins as a moving mean. `context` frames on either side are
    mixed beforehand. The frames ahead are read too: they are known.
    """

    def __init__(self, channels: int, factors: Sequence[int], kernel: int, context: int) -> None:
        super().__init__()
        self.factors = list(factors)
        self.mix = (
            nn.Conv1d(channels, channels, 2 * context + 1, padding=context, bias=False)
            if context
            else None
        )
        self.convs = nn.ModuleList(
            nn.Conv2d(1, 1, (kernel, 2 * s + 1), padding=(kernel // 2, s), bias=False)
            for s in factors
        )
        for conv, s in zip(self.convs, factors, strict=True):
            nn.init.constant_(conv.get_parameter("weight"), 1 / (kernel * (2 * s + 1)))

    def forward(self, frames: Tensor) -> Tensor:
        h = frames if self.mix is None else self.mix(frames)
        h = h[:, None]
        for factor, conv in zip(self.factors, self.convs, strict=True):
            h = conv(h.unsqueeze(-1).expand(-1, -1, -1, -1, factor).flatten(-2))
        return h[:, 0]
