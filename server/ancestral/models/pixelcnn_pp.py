"""PixelCNN++ (Salimans et al. 2017, "PixelCNN++: Improving the PixelCNN ...").

Two streams without a blind spot: one sees the rows above (down-shifted convolutions), the other the
row so far too (down-right-shifted ones). Gated residual layers run at full size and at halves of it
(section 2.3, strided convolutions down, transposed ones up), the way up reading every output of the
way down through skip connections (section 2.4, figure 2). Colours of a pixel are left to the
likelihood, a discretised logistic mixture (section 2.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ancestral.likelihoods.base import Likelihood
from ancestral.models.data import ConditionSpec, DataSpec
from ancestral.models.images import image_ends
from ancestral.models.network import Encoding, ParamsLayout

DOWN, RIGHT = (2, 3), (2, 2)  # kernels of the two streams


class PixelCNNPP(nn.Module):
    """x [B, in_channels, H, W], labels int64 [B] -> params [B, out_channels, H, W].

    `scales` sizes, each half of the one before, with `layers` gated layers per scale on the way
    down (one more on the way up below the largest). With `weight_norm` every weight is
    gain · v/|v| (Salimans and Kingma 2016).
    """

    reads: ClassVar[Encoding] = "signed"
    answers: ClassVar[ParamsLayout] = "channels-first"

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        channels: int,
        layers: int,
        scales: int = 3,
        dropout: float = 0.5,
        weight_norm: bool = True,
        classes: Sequence[int] = (),
    ) -> None:
        super().__init__()
        if scales < 1 or layers < 1:
            raise ValueError(f"scales {scales} and layers {layers} must be at least 1")
        norm, padded = weight_norm, in_channels + 1
        self.first_down = Conv(padded, channels, (2, 3), norm=norm)
        self.first_above = Conv(padded, channels, (1, 3), norm=norm)
        self.first_left = Conv(padded, channels, (2, 1), norm=norm)

        def pairs(count: int, *skips: int) -> nn.ModuleList:
            return nn.ModuleList(
                Pair(
                    GatedLayer(channels, DOWN, skips[0] * channels, classes, dropout, norm),
                    GatedLayer(channels, RIGHT, skips[1] * channels, classes, dropout, norm),
                )
                for _ in range(count)
            )

        self.encoder = nn.ModuleList(pairs(layers, 0, 1) for _ in range(scales))
        self.shrink = nn.ModuleList(
            Pair(
                Conv(channels, channels, DOWN, stride=2, norm=norm),
                Conv(channels, channels, RIGHT, stride=2, norm=norm),
            )
            for _ in range(scales - 1)
        )
        self.decoder = nn.ModuleList(
            pairs(layers + (scale > 0), 1, 2) for scale in range(scales)
        )  # the smallest first
        self.grow = nn.ModuleList(
            Pair(Grow(channels, DOWN, norm), Grow(channels, RIGHT, norm)) for _ in range(scales - 1)
        )
        self.out = Conv(channels, out_channels, (1, 1), norm=norm)

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
        ends = image_ends("pixelcnn-pp", data, likelihood, conditions, encoding)
        return cls(
            ends.inputs,
            ends.outputs,
            classes=ends.classes,
            **hyperparameters,  # type: ignore[arg-type]
        )

    def forward(self, x: Tensor, *labels: Tensor) -> Tensor:
        x = torch.cat([x, torch.ones_like(x[:, :1])], 1)  # ones show where the image ends
        down = shift_down(self.first_down(x))
        right = shift_down(self.first_above(x)) + shift_right(self.first_left(x))
        downs, rights = [down], [right]
        for scale, pairs in enumerate(self.encoder):
            for pair in pairs:  # type: ignore[attr-defined]
                down = pair.down(down, None, *labels)
                right = pair.right(right, down, *labels)
                downs.append(down)
                rights.append(right)
            if scale < len(self.shrink):
                down, right = self.shrink[scale](down, right)
                downs.append(down)
                rights.append(right)
        down, right = downs.pop(), rights.pop()
        for scale, pairs in enumerate(self.decoder):
            for pair in pairs:  # type: ignore[attr-defined]
                down = pair.down(down, downs.pop(), *labels)
                right = pair.right(right, torch.cat([down, rights.pop()], 1), *labels)
            if scale < len(self.grow):
                height, width = downs[-1].shape[2:]
                down, right = self.grow[scale](down, right)  # a row or column more where odd
                down, right = down[:, :, :height, :width], right[:, :, :height, :width]
        params: Tensor = self.out(F.elu(right))
        return params


class Pair(nn.Module):
    """The same layer of the two streams."""

    def __init__(self, down: nn.Module, right: nn.Module) -> None:
        super().__init__()
        self.down, self.right = down, right

    def forward(self, down: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        return self.down(down), self.right(right)


class GatedLayer(nn.Module):
    """x [B, C, H, W], what it also reads [B, others, H, W], labels -> x + gated [B, C, H, W]."""

    def __init__(
        self,
        channels: int,
        kernel: tuple[int, int],
        others: int,
        classes: Sequence[int] = (),
        dropout: float = 0.0,
        norm: bool = True,
    ) -> None:
        super().__init__()
        self.conv_in = Conv(2 * channels, channels, kernel, norm=norm)
        self.skip = Conv(2 * others, channels, (1, 1), norm=norm) if others else None
        self.conv_out = Conv(2 * channels, 2 * channels, kernel, norm=norm, scale=0.1)
        self.labels = nn.ModuleList(nn.Embedding(count, 2 * channels) for count in classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, other: Tensor | None, *labels: Tensor) -> Tensor:
        inner = self.conv_in(concat_elu(x))
        if self.skip is not None:
            assert other is not None
            inner = inner + self.skip(concat_elu(other))
        both = self.conv_out(self.dropout(concat_elu(inner)))
        for embedding, label in zip(self.labels, labels, strict=True):
            both = both + embedding(label)[:, :, None, None]
        value, opening = both.chunk(2, dim=1)
        gated: Tensor = x + value * torch.sigmoid(opening)
        return gated


class Conv(nn.Conv2d):
    """A convolution whose window ends at its own row, and at its own column where it is even.

    An odd width is centred: the window of the rows above. `scale` is of the initial weights.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: tuple[int, int],
        stride: int = 1,
        *,
        norm: bool = True,
        scale: float = 1.0,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel, stride)
        with torch.no_grad():
            self.weight.mul_(scale)
        self.gain = nn.Parameter(lengths(self.weight, 0)) if norm else None
        height, width = kernel
        aside = (width // 2, width // 2) if width % 2 else (width - 1, 0)
        self.margins = (*aside, height - 1, 0)

    def normed(self) -> Tensor:
        """The weights that are applied."""
        if self.gain is None:
            return self.weight
        return self.weight * (self.gain / lengths(self.weight, 0))[:, None, None, None]

    def settle(self) -> None:
        """Make the weights that are applied parameters of their own."""
        self.weight, self.gain = nn.Parameter(self.normed(), requires_grad=False), None

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(F.pad(x, self.margins), self.normed(), self.bias, self.stride)


class Grow(nn.ConvTranspose2d):
    """x [B, C, H, W] -> [B, C, 2H, 2W], causal in the same sense."""

    def __init__(self, channels: int, kernel: tuple[int, int], norm: bool = True) -> None:
        super().__init__(channels, channels, kernel, stride=2, output_padding=1)
        self.gain = nn.Parameter(lengths(self.weight, 1)) if norm else None
        self.left = kernel[1] // 2 if kernel[1] % 2 else 0

    def normed(self) -> Tensor:
        """The weights that are applied."""
        if self.gain is None:
            return self.weight
        return self.weight * (self.gain / lengths(self.weight, 1))[None, :, None, None]

    def settle(self) -> None:
        """Make the weights that are applied parameters of their own."""
        self.weight, self.gain = nn.Parameter(self.normed(), requires_grad=False), None

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        height, width = 2 * x.shape[2], 2 * x.shape[3]
        whole = F.conv_transpose2d(x, self.normed(), self.bias, 2, 0, self.output_padding)
        return whole[:, :, :height, self.left : self.left + width]


def lengths(weight: Tensor, axis: int) -> Tensor:
    """The norm of each output's weights, along `axis`."""
    return weight.transpose(0, axis).flatten(1).square().sum(1).sqrt()


def concat_elu(x: Tensor) -> Tensor:
    """ELU of x and of -x, [B, C, …] -> [B, 2C, …]."""
    return F.elu(torch.cat([x, -x], dim=1))


def shift_down(x: Tensor) -> Tensor:
    """Row i holds what row i - 1 held; zeros above."""
    return F.pad(x, (0, 0, 1, 0))[:, :, :-1]


def shift_right(x: Tensor) -> Tensor:
    """Column j holds what column j - 1 held; zeros to the left."""
    return F.pad(x, (1, 0))[..., :-1]
