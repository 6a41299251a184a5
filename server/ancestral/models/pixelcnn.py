"""PixelCNN (van den Oord et al. 2016, "Pixel Recurrent Neural Networks", sections 3.3 to 3.5).

One stack of masked convolutions: a first one of mask A, which leaves out the pixel itself, then
residual blocks of mask B (figure 5, left), then 1×1 layers (table 1). The channels of a pixel come
in the order R, G, B (section 3.4, figure 2 right). The kernels' masks leave the paper's blind spot.
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
from ancestral.models.gated_pixelcnn import group_mask
from ancestral.models.images import image_ends
from ancestral.models.network import Encoding, ParamsLayout


class PixelCNN(nn.Module):
    """x [B, in_channels, H, W], labels int64 [B] -> params [B, out_channels, H, W].

    `channels` is h of table 1: a residual block takes 2h features through h and back. `groups` > 1
    orders the channels of a pixel: features fall into that many equal groups. `final` are widths of
    1×1 layers before the output. A label adds to the features of the first layer.
    """

    reads: ClassVar[Encoding] = "signed"
    answers: ClassVar[ParamsLayout] = "channels-first"

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        channels: int,
        blocks: int,
        kernel: int = 3,
        first_kernel: int = 7,
        final: Sequence[int] = (),
        classes: Sequence[int] = (),
        groups: int = 1,
    ) -> None:
        super().__init__()
        for name, size in (("kernel", kernel), ("first_kernel", first_kernel)):
            if size < 1 or size % 2 == 0:
                raise ValueError(f"{name} must be odd and positive, not {size}")
        widths = [2 * channels, *final, out_channels]
        if any(width % groups for width in [in_channels, channels, *widths]):
            raise ValueError(
                f"channels {[in_channels, channels, *widths]} must be multiples of {groups}"
            )
        self.first = MaskedConv(in_channels, 2 * channels, first_kernel, "A", groups)
        self.labels = nn.ModuleList(nn.Embedding(count, 2 * channels) for count in classes)
        self.blocks = nn.ModuleList(Block(channels, kernel, groups) for _ in range(blocks))
        self.final = nn.ModuleList(MaskedConv(a, b, 1, "B", groups) for a, b in pairwise(widths))

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
        ends = image_ends("pixelcnn", data, likelihood, conditions, encoding)
        return cls(
            ends.inputs,
            ends.outputs,
            classes=ends.classes,
            groups=ends.groups,
            **hyperparameters,  # type: ignore[arg-type]
        )

    def forward(self, x: Tensor, *labels: Tensor) -> Tensor:
        h: Tensor = self.first(x)
        for embedding, label in zip(self.labels, labels, strict=True):
            h = h + embedding(label)[:, :, None, None]
        for block in self.blocks:
            h = block(h)
        for conv in self.final:
            h = conv(F.relu(h))
        return h


class Block(nn.Module):
    """h [B, 2C, H, W] -> [B, 2C, H, W]: 1×1, k×k and 1×1, each after a ReLU, added to h."""

    def __init__(self, channels: int, kernel: int, groups: int) -> None:
        super().__init__()
        self.reduce = MaskedConv(2 * channels, channels, 1, "B", groups)
        self.conv = MaskedConv(channels, channels, kernel, "B", groups)
        self.expand = MaskedConv(channels, 2 * channels, 1, "B", groups)

    def forward(self, h: Tensor) -> Tensor:
        inner = self.conv(F.relu(self.reduce(F.relu(h))))
        expanded: Tensor = self.expand(F.relu(inner))
        return h + expanded


class MaskedConv(nn.Conv2d):
    """A convolution that sees the rows above and the pixels to the left, at full size.

    Of the pixel itself mask A shows the channel groups before an output's own, mask B its own too.
    """

    mask: Tensor

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, kind: Literal["A", "B"], groups: int
    ) -> None:
        super().__init__(in_channels, out_channels, kernel, padding=kernel // 2)
        half = kernel // 2
        mask = torch.zeros(self.weight.shape)
        mask[:, :, :half] = 1
        mask[:, :, half, :half] = 1
        mask[:, :, half, half] = group_mask(in_channels, out_channels, 1, groups, kind == "B")[
            ..., 0
        ]
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=self.padding)
