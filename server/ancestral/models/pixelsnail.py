"""PixelSNAIL (Chen et al. 2018, "PixelSNAIL: An Improved Autoregressive Generative Model").

Gated residual layers of causal convolutions, as PixelCNN++ has them but at full size throughout,
alternate with attention over all earlier pixels (section 2.2, figure 3): convolutions see near
pixels in detail, attention far ones. Coordinates of the pixels, the "background", tell where.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ancestral.likelihoods.base import Likelihood
from ancestral.models.data import ConditionSpec, DataSpec
from ancestral.models.images import image_ends
from ancestral.models.network import Encoding, ParamsLayout
from ancestral.models.pixelcnn_pp import RIGHT, Conv, GatedLayer, shift_down, shift_right

HERE = (1, 1)  # a kernel of the pixel's own features


class PixelSNAIL(nn.Module):
    """x [B, in_channels, H, W], labels int64 [B] -> params [B, out_channels, H, W].

    `blocks` of `layers` gated convolutions and one attention with keys of `keys` and values of
    `values` numbers, in `heads` heads.
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
        layers: int = 4,
        keys: int = 16,
        values: int | None = None,
        heads: int = 1,
        dropout: float = 0.5,
        weight_norm: bool = True,
        classes: Sequence[int] = (),
    ) -> None:
        super().__init__()
        values = values or max(heads, channels // 2 // heads * heads)
        if keys % heads or values % heads:
            raise ValueError(f"keys {keys} and values {values} must be multiples of heads {heads}")
        norm = weight_norm
        self.first_above = Conv(in_channels + 1, channels, (1, 3), norm=norm)
        self.first_left = Conv(in_channels + 1, channels, (2, 1), norm=norm)
        self.blocks = nn.ModuleList(
            Block(in_channels, channels, layers, keys, values, heads, dropout, norm, classes)
            for _ in range(blocks)
        )
        self.out = Conv(channels, out_channels, HERE, norm=norm)

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
        ends = image_ends("pixelsnail", data, likelihood, conditions, encoding)
        return cls(
            ends.inputs,
            ends.outputs,
            classes=ends.classes,
            **hyperparameters,  # type: ignore[arg-type]
        )

    def forward(self, x: Tensor, *labels: Tensor) -> Tensor:
        padded = torch.cat([x, torch.ones_like(x[:, :1])], 1)
        h = shift_down(self.first_above(padded)) + shift_right(self.first_left(padded))
        where = background(x)
        for block in self.blocks:
            h = block(h, x, where, *labels)
        params: Tensor = self.out(F.elu(h))
        return params


class Block(nn.Module):
    """Figure 3: convolutions, attention, and both joined. h [B, C, H, W] -> [B, C, H, W]."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        layers: int,
        keys: int,
        values: int,
        heads: int,
        dropout: float,
        norm: bool,
        classes: Sequence[int],
    ) -> None:
        super().__init__()
        self.heads, self.sizes = heads, [keys, values]
        self.layers = nn.ModuleList(
            GatedLayer(channels, RIGHT, 0, classes, dropout, norm) for _ in range(layers)
        )
        content, asked = in_channels + channels + 2, channels + 2
        self.content = GatedLayer(content, HERE, 0, (), dropout, norm)
        self.key_value = Conv(content, keys + values, HERE, norm=norm)
        self.asked = GatedLayer(asked, HERE, 0, (), dropout, norm)
        self.query = Conv(asked, keys, HERE, norm=norm)
        self.join = GatedLayer(channels, HERE, values, (), dropout, norm)

    def forward(self, h: Tensor, x: Tensor, where: Tensor, *labels: Tensor) -> Tensor:
        for layer in self.layers:
            h = layer(h, None, *labels)
        content = self.content(torch.cat([x, h, where], 1), None)
        key, value = self.key_value(content).split(self.sizes, 1)
        query = self.query(self.asked(torch.cat([h, where], 1), None))
        joined: Tensor = self.join(h, attend(query, key, value, self.heads))
        return joined


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """Each pixel's mean of the values [B, V, H, W] strictly before it; zero at the first pixel."""
    batch, _, height, width = value.shape
    pixels = height * width
    q, k, v = (part.reshape(batch, heads, -1, pixels) for part in (query, key, value))
    k, v = F.pad(k, (1, 0))[..., :-1], F.pad(v, (1, 0))[..., :-1]  # zeros before the first pixel,
    seen = torch.ones(pixels, pixels, dtype=torch.bool, device=q.device).tril()
    seen[1:, 0] = False  # which only the first sees
    scores = q.mT @ k / math.sqrt(q.shape[2])
    weights = scores.masked_fill(~seen, -math.inf).softmax(-1)
    return (weights @ v.mT).mT.reshape(batch, -1, height, width)


def background(x: Tensor) -> Tensor:
    """Row and column of each pixel from -1/2 to 1/2, [B, 2, H, W]."""
    height, width = x.shape[2:]
    rows = torch.arange(height, dtype=x.dtype, device=x.device) / height - 0.5
    columns = torch.arange(width, dtype=x.dtype, device=x.device) / width - 0.5
    grid = torch.stack(torch.meshgrid(rows, columns, indexing="ij"))
    return grid.expand(x.shape[0], -1, -1, -1)
