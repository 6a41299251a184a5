"""Image GPT (Chen et al. 2020, "Generative Pretraining from Pixels"): GPT-2's decoder on pixels.

Pre-norm blocks, a = h + attention(layer_norm(h)) then a + mlp(layer_norm(a)) (section 2.2), over
the dimensions of an image in raster order behind a learned start vector.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ancestral.likelihoods.base import Likelihood
from ancestral.models.data import ConditionSpec, DataSpec
from ancestral.models.network import Encoding, ParamsLayout


class ImageGPT(nn.Module):
    """Codes [B, C, H, W] or [B, N], labels int64 [B] -> params [B, N, P].

    `positions` learned: a vector for every dimension; row-column: the sum of one for its row, one
    for its column and one for its channel, all started as sinusoids. `attention` fused is torch's
    scaled_dot_product_attention, explicit the same by product, mask and softmax. `norm` rms: the
    weights that the paper's authors published go with x / sqrt(mean(x²) + 1e-5), without a mean or
    a bias. `activation` quick-gelu: x sigmoid(1.702 x). `residual` normed: attention is added to
    its normed input, as some published code does.
    """

    reads: ClassVar[Encoding] = "int"
    answers: ClassVar[ParamsLayout] = "channels-last"
    represents: ClassVar[str] = "blocks"

    def __init__(
        self,
        shape: Sequence[int],
        levels: int,
        n_params: int,
        *,
        layers: int,
        width: int,
        heads: int,
        mlp_ratio: int = 4,
        positions: Literal["learned", "row-column"] = "learned",
        attention: Literal["fused", "explicit"] = "fused",
        norm: Literal["layer", "rms"] = "layer",
        activation: Literal["gelu", "gelu-tanh", "quick-gelu"] = "gelu",
        residual: Literal["input", "normed"] = "input",
        classes: Sequence[int] = (),
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} must be a multiple of heads {heads}")
        if attention not in ("fused", "explicit"):
            raise ValueError(f"unknown attention {attention!r}")
        if residual not in ("input", "normed"):
            raise ValueError(f"unknown residual {residual!r}")
        # sites first: rows, columns, channels
        grid = (*shape[1:], shape[0]) if len(shape) == 3 else tuple(shape)
        self.token = nn.Embedding(levels, width)
        self.start = nn.Parameter(0.02 * torch.randn(width))
        if positions == "learned":
            self.positions = nn.ParameterList([0.02 * torch.randn(math.prod(grid), width)])
        elif positions == "row-column":
            self.positions = nn.ParameterList(
                sinusoids(size, width).reshape(
                    *(size if a == axis else 1 for a in range(len(grid))), width
                )
                for axis, size in enumerate(grid)
                if size > 1
            )
        else:
            raise ValueError(f"unknown positions {positions!r}")
        self.labels = nn.ModuleList(nn.Embedding(count, width) for count in classes)
        self.blocks = nn.ModuleList(
            Block(
                width,
                heads,
                mlp_ratio,
                explicit=attention == "explicit",
                norm=norm,
                activation=activation,
                normed_residual=residual == "normed",
            )
            for _ in range(layers)
        )
        self.norm = normalisation(norm, width)
        self.head = nn.Linear(width, n_params)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
        for block in self.blocks:  # GPT-2: residual branches scaled by depth
            assert isinstance(block, Block)
            for projection in (block.project, block.mlp_out):
                nn.init.normal_(projection.weight, std=0.02 / math.sqrt(2 * layers))

    @classmethod
    def for_data(
        cls,
        data: DataSpec,
        likelihood: Likelihood,
        conditions: Sequence[ConditionSpec],
        encoding: str,
        **hyperparameters: object,
    ) -> Self:
        """The module for that data, which must be codes of one size."""
        if not data.shape or data.levels is None or encoding != "int":
            raise ValueError("image-gpt reads the codes of items of one size, encoded as int")
        if any(condition.kind != "label" for condition in conditions):
            raise ValueError("image-gpt takes labels as conditions only")
        if likelihood.joint:
            raise ValueError("image-gpt gives every dimension parameters of its own")
        classes = [condition.classes or 0 for condition in conditions]
        return cls(
            data.shape,
            data.levels,
            likelihood.n_params,
            classes=classes,
            **hyperparameters,  # type: ignore[arg-type]
        )

    def forward(self, codes: Tensor, *labels: Tensor) -> Tensor:
        flat = codes.permute(0, 2, 3, 1).flatten(1) if codes.dim() == 4 else codes
        start = self.start.expand(flat.shape[0], 1, -1)
        h = torch.cat([start, self.token(flat)[:, :-1]], dim=1)
        where = self.positions[0]
        for part in list(self.positions)[1:]:
            where = where + part
        h = h + where.flatten(0, -2)
        for embedding, label in zip(self.labels, labels, strict=True):
            h = h + embedding(label)[:, None]
        for block in self.blocks:
            h = block(h)
        params: Tensor = self.head(self.norm(h))
        return params


class Block(nn.Module):
    """One layer of the decoder: h [B, N, width] -> [B, N, width]."""

    def __init__(
        self,
        width: int,
        heads: int,
        mlp_ratio: int,
        *,
        explicit: bool,
        norm: str,
        activation: str,
        normed_residual: bool,
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"unknown activation {activation!r}")
        self.heads, self.explicit, self.normed_residual = heads, explicit, normed_residual
        self.activation = ACTIVATIONS[activation]
        self.norm_attention = normalisation(norm, width)
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.norm_mlp = normalisation(norm, width)
        self.mlp_in = nn.Linear(width, mlp_ratio * width)
        self.mlp_out = nn.Linear(mlp_ratio * width, width)

    def forward(self, h: Tensor) -> Tensor:
        normed = self.norm_attention(h)
        h = (normed if self.normed_residual else h) + self.project(self.attend(normed))
        mlp: Tensor = self.mlp_out(self.activation(self.mlp_in(self.norm_mlp(h))))
        return h + mlp

    def attend(self, x: Tensor) -> Tensor:
        batch, sites, width = x.shape
        split = self.qkv(x).reshape(batch, sites, 3, self.heads, width // self.heads)
        q, k, v = split.permute(2, 0, 3, 1, 4).unbind(0)  # [B, heads, N, width / heads] each
        if self.explicit:
            scores = q @ k.transpose(-2, -1) / math.sqrt(width // self.heads)
            future = torch.ones(sites, sites, dtype=torch.bool, device=x.device).triu(1)
            mixed: Tensor = scores.masked_fill(future, -math.inf).softmax(-1) @ v
        else:
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return mixed.transpose(1, 2).reshape(batch, sites, width)


def quick_gelu(x: Tensor) -> Tensor:
    """Hendrycks and Gimpel 2016, section 2: the GELU by a logistic."""
    return x * torch.sigmoid(1.702 * x)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu-tanh": partial(F.gelu, approximate="tanh"),
    "quick-gelu": quick_gelu,
}


def normalisation(norm: str, width: int) -> nn.Module:
    """Layer norm (Ba et al. 2016), or its root mean square alone (Zhang and Sennrich 2019)."""
    if norm not in ("layer", "rms"):
        raise ValueError(f"unknown norm {norm!r}")
    return nn.LayerNorm(width) if norm == "layer" else nn.RMSNorm(width, eps=1e-5)


def sinusoids(size: int, width: int) -> Tensor:
    """[size, width] positions of Vaswani et al. 2017, section 3.5, at the scale of the tokens."""
    frequency = torch.exp(torch.arange(width // 2) * (-math.log(200.0) / max(1, width // 2)))
    angle = torch.arange(size)[:, None] * frequency
    waves = torch.cat([angle.sin(), angle.cos(), torch.zeros(size, width % 2)], dim=1)
    return 0.1 * waves
