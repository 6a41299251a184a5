"""Sparse Transformer (Child et al. 2019, "Generating Long Sequences with Sparse Transformers").

Factorised self-attention (section 4): two patterns of keys, each of about the square root of the
sequence, whose composition reaches every earlier position; in pre-activation residual blocks
(section 5.2), with learned embeddings of row and column (section 5.3).
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

Pattern = Literal["strided", "fixed", "dense"]
Factorise = Literal["interleaved", "merged", "heads"]


class SparseTransformer(nn.Module):
    """Codes [B, C, H, W], [B, N] or [B, T], labels int64 [B] -> params [B, N, P].

    The channels of a pixel are positions of their own, innermost. `stride` is l of section 4.2, and
    `summary` its c. `factorise` is how a layer uses the two patterns (section 4.3): one after the
    other in alternating layers, merged into one, or each in half of the heads. `rows` counts the
    learned row embeddings: images have one for each of their rows and give none; in sequences,
    whose rows are `stride` long, they repeat after `rows`.
    """

    reads: ClassVar[Encoding] = "int"
    answers: ClassVar[ParamsLayout] = "channels-last"

    def __init__(
        self,
        shape: Sequence[int],
        levels: int,
        n_params: int,
        *,
        layers: int,
        width: int,
        heads: int,
        stride: int,
        pattern: Pattern = "strided",
        summary: int = 8,
        factorise: Factorise = "interleaved",
        mlp_ratio: int = 4,
        rows: int = 1,
        classes: Sequence[int] = (),
    ) -> None:
        super().__init__()
        if width % heads or (factorise == "heads" and heads % 2):
            raise ValueError(f"width {width} and {heads} heads do not divide")
        if pattern not in get_args(Pattern) or factorise not in get_args(Factorise):
            raise ValueError(f"unknown pattern {pattern!r} or factorisation {factorise!r}")
        if not 1 <= summary <= stride:
            raise ValueError(f"summary must be from 1 to the stride {stride}, not {summary}")
        self.pattern, self.stride, self.summary, self.factorise = (
            pattern,
            stride,
            summary,
            factorise,
        )
        # an image has the axes row, column, channel; a sequence is cut into rows of a stride
        self.axes = (shape[1], shape[2], shape[0]) if len(shape) == 3 else (rows, stride)
        self.token = nn.Embedding(levels, width)
        self.start = nn.Parameter(torch.randn(width) * 0.125 / math.sqrt(width))
        self.positions = nn.ModuleList(nn.Embedding(size, width) for size in self.axes)
        self.labels = nn.ModuleList(nn.Embedding(count, width) for count in classes)
        self.blocks = nn.ModuleList(
            Block(width, heads, mlp_ratio, 1 / math.sqrt(2 * layers)) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, n_params)
        for embedding in (self.token, *self.positions, *self.labels):
            count = 1 if embedding is self.token else len(self.positions)
            nn.init.normal_(embedding.weight, std=0.125 / math.sqrt(width * count))
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    @classmethod
    def for_data(
        cls,
        data: DataSpec,
        likelihood: Likelihood,
        conditions: Sequence[ConditionSpec],
        encoding: str,
        **hyperparameters: object,
    ) -> Self:
        """The module for that data, which must be codes: images, vectors, audio or tokens."""
        if data.levels is None or encoding != "int":
            raise ValueError("sparse-transformer reads codes, encoded as int")
        if any(condition.kind != "label" for condition in conditions):
            raise ValueError("sparse-transformer takes labels as conditions only")
        if likelihood.joint:
            raise ValueError("sparse-transformer gives every dimension parameters of its own")
        classes = [condition.classes or 0 for condition in conditions]
        shape, params = data.shape, likelihood.n_params
        return cls(shape, data.levels, params, classes=classes, **hyperparameters)  # type: ignore[arg-type]

    def forward(self, codes: Tensor, *labels: Tensor) -> Tensor:
        flat = codes.permute(0, 2, 3, 1).flatten(1) if codes.dim() == 4 else codes
        start = self.start.expand(flat.shape[0], 1, -1)
        h = torch.cat([start, self.token(flat)[:, :-1]], dim=1)
        site = torch.arange(flat.shape[1], device=flat.device)
        inner = 1
        for size, embedding in zip(
            reversed(self.axes), reversed(list(self.positions)), strict=True
        ):
            h = h + embedding(site // inner % size)
            inner = inner * size
        for embedding, label in zip(self.labels, labels, strict=True):
            h = h + embedding(label)[:, None]
        masks = self.masks(site)
        for number, block in enumerate(self.blocks):
            interleaved = self.factorise == "interleaved"
            h = block(h, masks[number % len(masks) :][:1] if interleaved else masks)
        params: Tensor = self.head(self.norm(h))
        return params

    def masks(self, site: Tensor) -> list[Tensor]:
        """Which keys each query reads, bool [N, N], for the two patterns A¹ and A² (section 4.2).

        strided: the last l keys; those whose distance is a multiple of l.
        fixed: the keys of the query's own block of l; the last c of every block.
        """
        query, key = site[:, None], site[None, :]
        past = key <= query
        if self.pattern == "dense":
            return [past]
        if self.pattern == "strided":
            near = query - key < self.stride
            far = (query - key) % self.stride == 0
        else:
            near = query // self.stride == key // self.stride
            far = key % self.stride >= self.stride - self.summary
        if self.factorise == "merged":
            return [past & (near | far)]
        # a query that no summary precedes reads itself, as every query may
        return [past & near, past & (far | (key == query))]


class Block(nn.Module):
    """resblock(h) of equations 13 to 16: h [B, N, width] -> [B, N, width], scaled by the depth."""

    def __init__(self, width: int, heads: int, mlp_ratio: int, scale: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp_in = nn.Linear(width, mlp_ratio * width)
        self.mlp_out = nn.Linear(mlp_ratio * width, width)
        for linear in (self.qkv, self.project, self.mlp_in, self.mlp_out):
            std = 0.125 / math.sqrt(linear.in_features)
            if linear is self.project or linear is self.mlp_out:
                std *= scale
            nn.init.normal_(linear.weight, std=std)
            nn.init.zeros_(linear.bias)

    def forward(self, h: Tensor, masks: Sequence[Tensor]) -> Tensor:
        h = h + self.project(self.attend(self.norm_attention(h), masks))
        inner = self.mlp_in(self.norm_mlp(h))
        mlp: Tensor = self.mlp_out(inner * torch.sigmoid(1.702 * inner))
        return h + mlp

    def attend(self, x: Tensor, masks: Sequence[Tensor]) -> Tensor:
        """Each mask for an equal share of the heads."""
        batch, sites, width = x.shape
        split = self.qkv(x).reshape(batch, sites, 3, self.heads, width // self.heads)
        q, k, v = split.permute(2, 0, 3, 1, 4).unbind(0)  # [B, heads, N, width / heads] each
        share = self.heads // len(masks)
        mixed = [
            F.scaled_dot_product_attention(
                q[:, i * share : (i + 1) * share],
                k[:, i * share : (i + 1) * share],
                v[:, i * share : (i + 1) * share],
                attn_mask=mask,
            )
            for i, mask in enumerate(masks)
        ]
        joined = torch.cat(mixed, dim=1) if len(mixed) > 1 else mixed[0]
        return joined.transpose(1, 2).reshape(batch, sites, width)
