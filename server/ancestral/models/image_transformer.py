"""Image Transformer (Parmar et al. 2018): self-attention within local blocks of an image.

A decoder over an image's positions in raster order, a pixel's channels one after the other, whose
queries read the memory block around their own query block (section 3.2). The layer is equations 1
and 2: normalisation after the residual sum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Literal, Self, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ancestral.likelihoods.base import Likelihood
from ancestral.models.data import ConditionSpec, DataSpec
from ancestral.models.network import Encoding, ParamsLayout

Blocks = Literal["local-1d", "local-2d", "full"]


class ImageTransformer(nn.Module):
    """Pixels [B, C, H, W], labels int64 [B] -> params [B, positions, n_params].

    Categorical (section 3.1): codes, embedded for each channel; a position for each channel of a
    pixel, channels innermost. DMOL: values in [-1, 1], a position for each pixel, whose channels
    the likelihood ties together.

    `attention` local-1d: query blocks of `block` positions with the `memory` positions before them
    (l_q and l_m). local-2d: query blocks of `block` = (rows, columns) pixels, with `memory` =
    (rows above, columns to either side) around them; what lies before the query in raster order is
    read, so that any model here is sampled in raster order.
    """

    reads: ClassVar[Encoding] = "int"
    answers: ClassVar[ParamsLayout] = "channels-last"

    def __init__(
        self,
        shape: Sequence[int],
        levels: int | None,
        n_params: int,
        *,
        layers: int,
        width: int,
        heads: int,
        attention: Blocks = "local-1d",
        block: int | Sequence[int],
        memory: int | Sequence[int],
        mlp_ratio: int = 4,
        classes: Sequence[int] = (),
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} must be a multiple of heads {heads}")
        sizes = 2 if attention == "local-2d" else 1
        one = [[v] if isinstance(v, int) else list(v) for v in (block, memory)]
        if attention not in get_args(Blocks) or any(len(v) != sizes for v in one):
            raise ValueError(f"{attention} attention takes a block and a memory of {sizes} sizes")
        if min(one[0]) < 1 or min(one[1]) < 0:
            raise ValueError("a block has at least one position, a memory none")
        channels, rows, columns = shape
        self.attention, self.block, self.memory = attention, one[0], one[1]
        self.grid = (rows, columns, channels if levels is not None else 1)
        self.pixel: nn.Module = (
            nn.Embedding(channels * levels, width) if levels is not None
            else nn.Linear(channels, width)
        )  # fmt: skip
        self.levels = levels
        self.start = nn.Parameter(torch.randn(width) / math.sqrt(width))
        self.positions = nn.ModuleList(nn.Embedding(size, width) for size in self.grid)
        self.labels = nn.ModuleList(nn.Embedding(count, width) for count in classes)
        self.blocks = nn.ModuleList(Layer(width, heads, mlp_ratio) for _ in range(layers))
        self.head = nn.Linear(width, n_params)
        for embedding in (self.pixel, *self.positions, *self.labels):
            if isinstance(embedding, nn.Embedding):
                nn.init.normal_(embedding.weight, std=1 / math.sqrt(width))

    @classmethod
    def for_data(
        cls,
        data: DataSpec,
        likelihood: Likelihood,
        conditions: Sequence[ConditionSpec],
        encoding: str,
        **hyperparameters: object,
    ) -> Self:
        """The module for that image data: codes under `int`, pixel values under `signed`."""
        if data.kind != "image" or data.levels is None or encoding not in ("int", "signed"):
            raise ValueError("image-transformer reads images of codes, encoded as int or signed")
        if any(condition.kind != "label" for condition in conditions):
            raise ValueError("image-transformer takes labels as conditions only")
        if likelihood.joint != (encoding == "signed"):
            raise ValueError("image-transformer: a joint likelihood goes with the encoding signed")
        classes = [condition.classes or 0 for condition in conditions]
        levels = None if likelihood.joint else data.levels
        return cls(data.shape, levels, likelihood.n_params, classes=classes, **hyperparameters)  # type: ignore[arg-type]

    def forward(self, x: Tensor, *labels: Tensor) -> Tensor:
        pixels = x.permute(0, 2, 3, 1)  # [B, H, W, C]
        if self.levels is not None:
            channel = torch.arange(x.shape[1], device=x.device) * self.levels
            h = self.pixel(pixels + channel).flatten(1, 3)
        else:
            h = self.pixel(pixels).flatten(1, 2)
        h = torch.cat([self.start.expand(h.shape[0], 1, -1), h[:, :-1]], dim=1)
        site = torch.arange(h.shape[1], device=h.device)
        places = self.places(site)
        for place, embedding in zip(places, self.positions, strict=True):
            h = h + embedding(place)
        for embedding, label in zip(self.labels, labels, strict=True):
            h = h + embedding(label)[:, None]
        mask = self.mask(site)
        for block in self.blocks:
            h = block(h, mask)
        params: Tensor = self.head(h)
        return params

    def places(self, site: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Row, column and channel of raster positions."""
        _, columns, channels = self.grid
        pixel = site // channels
        return pixel // columns, pixel % columns, site % channels

    def mask(self, site: Tensor) -> Tensor:
        """Which positions each query reads, bool [N, N]: figure 2, and nothing after the query."""
        query, key = site[:, None], site[None, :]
        past = key <= query
        if self.attention == "full":
            return past
        if self.attention == "local-1d":
            first = query // self.block[0] * self.block[0]
            return past & (key >= first - self.memory[0])
        (rows, columns), (above, aside) = self.block, self.memory
        query_row, query_column, _ = self.places(query)
        key_row, key_column, _ = self.places(key)
        top, left = query_row // rows * rows, query_column // columns * columns
        near_rows = key_row >= top - above
        near_columns = (key_column >= left - aside) & (key_column < left + columns + aside)
        return past & near_rows & near_columns


class Layer(nn.Module):
    """q' = norm(q + attention(q, M)); norm(q' + W₂ relu(W₁ q')) (equations 1 and 2)."""

    def __init__(self, width: int, heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.project = nn.Linear(width, width, bias=False)
        self.norm_attention = nn.LayerNorm(width)
        self.mlp_in = nn.Linear(width, mlp_ratio * width)
        self.mlp_out = nn.Linear(mlp_ratio * width, width)
        self.norm_mlp = nn.LayerNorm(width)

    def forward(self, h: Tensor, mask: Tensor) -> Tensor:
        batch, sites, width = h.shape
        split = self.qkv(h).reshape(batch, sites, 3, self.heads, width // self.heads)
        q, k, v = split.permute(2, 0, 3, 1, 4).unbind(0)  # [B, heads, N, width / heads] each
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        h = self.norm_attention(h + self.project(mixed.transpose(1, 2).reshape(h.shape)))
        result: Tensor = self.norm_mlp(h + self.mlp_out(F.relu(self.mlp_in(h))))
        return result
