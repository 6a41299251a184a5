"""Gated PixelCNN (van den Oord et al. 2016, "Conditional Image Generation with PixelCNN Decoders").

Two stacks without a blind spot (section 2.2): the vertical one sees all rows above, the horizontal
one the row so far and, through it, the vertical one. Instead of masked kernels the convolutions
hold only the taps that may be seen, over an input padded above and to the left; a mask is left
only for the channels of the pixel itself, generated in order R, G, B (PixelRNN, section 3.4).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ancestral.likelihoods.base import Likelihood
from ancestral.models.data import ConditionSpec, DataSpec
from ancestral.models.images import image_ends
from ancestral.models.network import Encoding, ParamsLayout


class GatedPixelCNN(nn.Module):
    """x [B, in_channels, H, W], labels int64 [B], planes [B, C, H, W] -> params [B, P, H, W].

    A label is a bias of every gate (equation 4). A plane is mapped by one convolution to s, and
    V s, a 1×1 convolution of each layer, goes into its gates at the same place (equation 5); it is
    known as a whole, so nothing of it is masked. `groups` > 1 orders the channels of a pixel:
    hidden and output channels fall into that many equal groups, and group g sees input channels
    (first layer) below g, later groups up to g.
    `final` are widths of 1×1 layers before the output, each after the activation.
    """

    reads: ClassVar[Encoding] = "signed"
    answers: ClassVar[ParamsLayout] = "channels-first"

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        channels: int,
        dilations: Sequence[int],
        kernel: int = 3,
        first_kernel: int = 7,
        final: Sequence[int] = (),
        activation: Literal["relu", "elu"] = "relu",
        classes: Sequence[int] = (),
        planes: Sequence[int] = (),
        groups: int = 1,
    ) -> None:
        super().__init__()
        for name, size in (("kernel", kernel), ("first_kernel", first_kernel)):
            if size < 3 or size % 2 == 0:
                raise ValueError(f"{name} must be odd and at least 3, not {size}")
        widths = [channels, *final, out_channels]
        if any(width % groups for width in [in_channels, *widths]):
            raise ValueError(f"channels {[in_channels, *widths]} must be multiples of {groups}")
        if activation not in ("relu", "elu"):
            raise ValueError(f"unknown activation {activation!r}")
        self.activation = F.relu if activation == "relu" else F.elu
        self.first_vertical = VerticalConv(in_channels, channels, first_kernel, include_row=False)
        self.first_horizontal = HorizontalConv(
            in_channels, channels, first_kernel, groups=groups, include_pixel=False
        )
        self.layers = nn.ModuleList(
            GatedLayer(channels, kernel, dilation, classes, groups, len(planes))
            for dilation in dilations
        )
        self.maps = nn.ModuleList(nn.Conv2d(size, channels, 3, padding=1) for size in planes)
        self.final = nn.ModuleList(PixelConv(a, b, groups) for a, b in pairwise(widths))

    @classmethod
    def for_data(
        cls,
        data: DataSpec,
        likelihood: Likelihood,
        conditions: Sequence[ConditionSpec],
        encoding: str,
        **hyperparameters: object,
    ) -> Self:
        """The module for that data; its channels are ordered unless the likelihood is joint."""
        if any(condition.kind == "series" for condition in conditions):
            raise ValueError("gated-pixelcnn takes labels and planes as conditions")
        labels = [condition for condition in conditions if condition.kind == "label"]
        ends = image_ends("gated-pixelcnn", data, likelihood, labels, encoding)
        return cls(
            ends.inputs,
            ends.outputs,
            classes=ends.classes,
            planes=[c.channels or 0 for c in conditions if c.kind == "plane"],
            groups=ends.groups,
            **hyperparameters,  # type: ignore[arg-type]
        )

    def forward(self, x: Tensor, *conditions: Tensor) -> Tensor:
        labels = [condition for condition in conditions if condition.dim() == 1]
        planes = [condition for condition in conditions if condition.dim() == 4]
        mapped = [mapping(plane) for mapping, plane in zip(self.maps, planes, strict=True)]
        vertical: Tensor = self.first_vertical(x)
        horizontal: Tensor = self.first_horizontal(x)
        for layer in self.layers:
            vertical, horizontal = layer(vertical, horizontal, labels, mapped)
        for conv in self.final:
            horizontal = conv(self.activation(horizontal))
        return horizontal


class GatedLayer(nn.Module):
    """Figure 2 of the paper, with the conditions of equations 4 and 5 in both gates."""

    def __init__(
        self, channels: int, kernel: int, dilation: int, classes: Sequence[int], groups: int,
        planes: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.vertical = VerticalConv(channels, 2 * channels, kernel, dilation)
        self.horizontal = HorizontalConv(channels, 2 * channels, kernel, dilation, 2, groups)
        self.vertical_to_horizontal = nn.Conv2d(2 * channels, 2 * channels, 1)
        self.residual = PixelConv(channels, channels, groups)
        self.labels = nn.ModuleList(nn.Embedding(count, 4 * channels) for count in classes)
        self.planes = nn.ModuleList(
            nn.Conv2d(channels, 4 * channels, 1, bias=False) for _ in range(planes)
        )

    def forward(
        self,
        vertical: Tensor,
        horizontal: Tensor,
        labels: Sequence[Tensor] = (),
        planes: Sequence[Tensor] = (),
    ) -> tuple[Tensor, Tensor]:
        down = self.vertical(vertical)
        right = self.horizontal(horizontal) + self.vertical_to_horizontal(down)
        biases = [
            *(
                embed(label)[:, :, None, None]
                for embed, label in zip(self.labels, labels, strict=True)
            ),
            *(project(plane) for project, plane in zip(self.planes, planes, strict=True)),
        ]
        for bias in biases:
            bias_down, bias_right = bias.chunk(2, dim=1)
            down, right = down + bias_down, right + bias_right
        return gate(down), horizontal + self.residual(gate(right))


def gate(x: Tensor) -> Tensor:
    """tanh(first half of the channels) · sigmoid(second half), equation 2 of the paper."""
    value, opening = x.chunk(2, dim=1)
    return torch.tanh(value) * torch.sigmoid(opening)


class VerticalConv(nn.Conv2d):
    """Sees the `kernel // 2` rows above, at full width, and its own row where `include_row`."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        dilation: int = 1,
        *,
        include_row: bool = True,
    ) -> None:
        half = kernel // 2
        super().__init__(in_channels, out_channels, (half + include_row, kernel), dilation=dilation)
        self.margins = (half * dilation, half * dilation, half * dilation, 0)
        self.include_row = include_row

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, self.margins)
        if not self.include_row:
            x = x[:, :, :-1]  # the taps end one row above
        return F.conv2d(x, self.weight, self.bias, dilation=self.dilation)


class HorizontalConv(nn.Conv2d):
    """Sees the `kernel // 2` pixels to the left, and of its own pixel the groups up to its own.

    Where `include_pixel` is false only the groups before its own. The output comes in `parts`
    (a gate's two halves), each with all groups.
    """

    mask: Tensor | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        dilation: int = 1,
        parts: int = 1,
        groups: int = 1,
        include_pixel: bool = True,
    ) -> None:
        half = kernel // 2
        own_tap = include_pixel or groups > 1
        super().__init__(in_channels, out_channels, (1, half + own_tap), dilation=(1, dilation))
        self.margins = (half * dilation, 0)
        self.own_tap = own_tap
        mask = None
        if groups > 1:
            mask = torch.ones(self.weight.shape)
            mask[..., -1] = group_mask(in_channels, out_channels, parts, groups, include_pixel)
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, self.margins)
        if not self.own_tap:
            x = x[..., :-1]  # the taps end one pixel to the left
        weight = self.weight if self.mask is None else self.weight * self.mask
        return F.conv2d(x, weight, self.bias, dilation=self.dilation)


class PixelConv(nn.Conv2d):
    """A 1×1 convolution in which a group sees the groups up to its own."""

    mask: Tensor | None

    def __init__(self, in_channels: int, out_channels: int, groups: int) -> None:
        super().__init__(in_channels, out_channels, 1)
        mask = None
        if groups > 1:
            mask = group_mask(in_channels, out_channels, 1, groups, inclusive=True)[..., None]
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight if self.mask is None else self.weight * self.mask
        return F.conv2d(x, weight, self.bias)


def group_mask(
    in_channels: int, out_channels: int, parts: int, groups: int, inclusive: bool
) -> Tensor:
    """[out, in, 1] ones where an output's group may see an input's: ≤ if inclusive, else <."""
    of_input = torch.arange(in_channels) * groups // in_channels
    of_output = (torch.arange(out_channels // parts) * groups * parts // out_channels).repeat(parts)
    later = of_output[:, None] - of_input[None, :]
    return ((later >= 0) if inclusive else (later > 0)).float()[..., None]
