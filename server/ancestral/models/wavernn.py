"""WaveRNN (Kalchbrenner et al. 2018, "Efficient Neural Audio Synthesis") as a vocoder.

One GRU and two affine layers a sample (equation 2, with a single softmax or mixture in place of the
coarse and fine halves), conditioned on frames as in the published implementation of fatchord: the
frames smoothly stretched to samples, and features of theirs from a small residual network.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ancestral.likelihoods.base import Likelihood
from ancestral.models.data import ConditionSpec, DataSpec
from ancestral.models.network import Encoding, ParamsLayout


class WaveRNN(nn.Module):
    """x [B, T] amplitudes in [-1, 1], frames [B, C, T / hop] -> params [B, T, out_channels].

    A sample is predicted from the samples before it; before the first stands 0. `scales` are the
    factors of the stretches, whose product is the hop; `features` are divided between the GRU's
    input and the layer behind it. Without a condition `scales` is empty.
    """

    reads: ClassVar[Encoding] = "signed"
    answers: ClassVar[ParamsLayout] = "channels-last"

    def __init__(
        self,
        out_channels: int,
        *,
        width: int,
        hidden: int,
        channels: int = 0,
        scales: Sequence[int] = (),
        features: int = 0,
        blocks: int = 3,
    ) -> None:
        super().__init__()
        self.frames = Frames(channels, scales, features, blocks) if channels else None
        self.early = (features + 1) // 2 if channels else 0
        late = features - self.early if channels else 0
        self.input = nn.Linear(1 + channels + self.early, width)
        self.layers = nn.GRU(width, width, batch_first=True)
        self.hidden = nn.Linear(width + late, hidden)
        self.output = nn.Linear(hidden, out_channels)

    @classmethod
    def for_data(
        cls,
        data: DataSpec,
        likelihood: Likelihood,
        conditions: Sequence[ConditionSpec],
        encoding: str,
        **hyperparameters: object,
    ) -> Self:
        """The module for that data: sound, conditioned on one series or on nothing."""
        if data.kind != "audio":
            raise ValueError(f"wavernn models audio, not {data.kind} data")
        if len(conditions) > 1 or any(condition.kind != "series" for condition in conditions):
            raise ValueError("wavernn takes one series as its condition, or none")
        if data.levels is not None and encoding not in ("unit", "signed"):
            raise ValueError(f"wavernn reads amplitudes: the encoding is signed, not {encoding}")
        module = cls(
            likelihood.n_params,
            channels=sum(condition.channels or 0 for condition in conditions),
            **hyperparameters,  # type: ignore[arg-type]
        )
        hop = prod(module.frames.scales) if module.frames is not None else 1
        if conditions and conditions[0].hop != hop:
            raise ValueError(f"scales stretch frames by {hop}, their hop is {conditions[0].hop}")
        return module

    def forward(self, x: Tensor, *frames: Tensor) -> Tensor:
        before = F.pad(x, (1, 0))[:, :-1, None]
        if self.frames is None:
            h = self.input(before)
            late: list[Tensor] = []
        else:
            stretched, features = self.frames(frames[0])
            early = features[..., : self.early]
            late = [features[..., self.early :]]
            h = self.input(torch.cat([before, stretched, early], -1))
        h = h + self.layers(h)[0]
        h = F.relu(self.hidden(torch.cat([h, *late], -1)))
        return self.output(h)  # type: ignore[no-any-return]


class Frames(nn.Module):
    """Frames [B, C, N] -> the frames by sample [B, N · hop, C] and features [B, N · hop, F].

    `PAD` frames of zeros stand on either side. Each stretch repeats, then smooths by a kernel of
    2 · scale + 1 taps that all channels share.
    """

    PAD: ClassVar[int] = 2

    def __init__(self, channels: int, scales: Sequence[int], features: int, blocks: int) -> None:
        super().__init__()
        self.scales = tuple(scales)
        self.first = nn.Conv1d(channels, features, 2 * self.PAD + 1)
        self.blocks = nn.ModuleList(Block(features) for _ in range(blocks))
        self.last = nn.Conv1d(features, features, 1)
        self.kernels = nn.ParameterList(
            torch.full((2 * scale + 1,), 1 / (2 * scale + 1)) for scale in scales
        )

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        padded = F.pad(frames, (self.PAD, self.PAD))
        stretched = padded[:, None]
        for scale, kernel in zip(self.scales, self.kernels, strict=True):
            stretched = stretched.repeat_interleave(scale, -1)
            stretched = F.conv2d(stretched, kernel[None, None, None], padding=(0, scale))
        hop = prod(self.scales)
        stretched = stretched[:, 0, :, self.PAD * hop : -self.PAD * hop]
        features = F.relu(self.first(padded))
        for block in self.blocks:
            features = block(features)
        features = self.last(features).repeat_interleave(hop, -1)
        return stretched.transpose(1, 2), features.transpose(1, 2)


class Block(nn.Module):
    """x + W₂ relu(W₁ x) at every frame."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.before = nn.Conv1d(width, width, 1)
        self.after = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.after(F.relu(self.before(x)))  # type: ignore[no-any-return]
