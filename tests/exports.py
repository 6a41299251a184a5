"""Modules that the project does not know, written as people write them, and their exports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim, export, save

from ancestral.store.graphs import Imported, import_graph
from ancestral.store.options import Options
from ancestral.store.pt2 import read_pt2

BATCH = {0: Dim("batch")}


def seeded(module: nn.Module) -> nn.Module:
    """Weights large enough that nothing is nearly independent, the same every time."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4)
        for name, buffer in module.named_buffers():
            if "running" in name:
                buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
    return module


def exported(
    folder: Path, module: nn.Module, example: Sequence[Tensor], dynamic: Any = None
) -> Path:
    """`module` in eval form as a .pt2 file."""
    file = folder / "model.pt2"
    save(export(seeded(module).eval(), tuple(example), dynamic_shapes=dynamic), file)
    return file


def imported(file: Path, **options: Any) -> Imported:
    """Its package `theirs/1` in the store beside it."""
    conditions = tuple(options.pop("conditions", ()))
    told = Options(name="theirs", conditions=conditions, **options)
    return import_graph(read_pt2(file), file, file.parent / "store", told)


class MaskedConv(nn.Conv2d):
    """The mask of PixelCNN multiplied into the weight; `own` sees the pixel itself."""

    mask: Tensor

    def __init__(self, inputs: int, outputs: int, size: int, own: bool) -> None:
        super().__init__(inputs, outputs, size, padding=size // 2)
        mask = torch.ones_like(self.weight)
        mask[:, :, size // 2, size // 2 + own :] = 0
        mask[:, :, size // 2 + 1 :] = 0
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=self.padding)


class PixelNet(nn.Module):
    """Batch norm, dropout, a write into a slice, a residual added in place."""

    def __init__(self, inputs: int, outputs: int, own: bool = False) -> None:
        super().__init__()
        self.first = MaskedConv(inputs, 6, 3, own)
        self.norm = nn.BatchNorm2d(6)
        self.drop = nn.Dropout(0.3)
        self.second = MaskedConv(6, 6, 3, True)
        self.last = nn.Conv2d(6, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.drop(F.relu(self.norm(self.first(x))))
        r = h.clone()
        r[:, :3] += self.second(h)[:, :3]
        r += h
        return self.last(r)


class ColourNet(nn.Module):
    """In the manner of PixelCNN++: weight norm, concat_elu, shifts by padding and cropping."""

    def __init__(self, params: int, classes: int = 0) -> None:
        super().__init__()
        norm = nn.utils.parametrizations.weight_norm
        self.down = norm(nn.Conv2d(4, 5, (2, 3)))
        self.right = norm(nn.Conv2d(4, 5, (2, 2)))
        self.out = norm(nn.Conv2d(10, params, 1))
        self.label = nn.Embedding(classes, 5) if classes else None

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        x = torch.cat([x, torch.ones_like(x[:, :1])], 1)
        above = self.down(F.pad(x, (1, 1, 2, 0)))[:, :, :-1]
        left = self.right(F.pad(x, (2, 0, 1, 0)))[:, :, :, :-1]
        h = above + left
        if y is not None and self.label is not None:
            h = h + self.label(y)[:, :, None, None]
        return self.out(F.elu(torch.cat([h, -h], 1)))


class GPT(nn.Module):
    """One block of minGPT: the mask is a slice of a buffer, −inf where it is zero."""

    mask: Tensor

    def __init__(self, vocabulary: int, outputs: int, block: int, width: int = 8) -> None:
        super().__init__()
        self.token, self.position = nn.Embedding(vocabulary, width), nn.Embedding(block, width)
        self.norm, self.qkv = nn.LayerNorm(width), nn.Linear(width, 3 * width)
        self.head = nn.Linear(width, outputs, bias=False)
        self.register_buffer("mask", torch.tril(torch.ones(block, block)).view(1, 1, block, block))

    def forward(self, codes: Tensor) -> Tensor:
        batch, sites = codes.shape
        x = self.token(codes) + self.position(torch.arange(sites))
        q, k, v = (
            part.view(batch, sites, 2, -1).transpose(1, 2)
            for part in self.qkv(self.norm(x)).chunk(3, dim=2)
        )
        scores = (q @ k.transpose(-2, -1)) * k.shape[-1] ** -0.5
        scores = scores.masked_fill(self.mask[:, :, :sites, :sites] == 0, float("-inf"))
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).contiguous().view(batch, sites, -1)
        return self.head(x + mixed)


class Wave(nn.Module):
    """A WaveNet as usually written: the output at t is for the sample at t + 1."""

    def __init__(self, inputs: int, outputs: int, mel: int = 0) -> None:
        super().__init__()
        self.first = nn.Conv1d(inputs, 6, 1)
        norm = nn.utils.parametrizations.weight_norm
        self.dilated = nn.ModuleList(norm(nn.Conv1d(6, 12, 2, dilation=d)) for d in (1, 2, 4))
        self.mel = nn.Conv1d(mel, 12, 1) if mel else None
        self.last = nn.Conv1d(6, outputs, 1)

    def forward(self, x: Tensor, mel: Tensor | None = None) -> Tensor:
        h = self.first(x)
        for conv in self.dilated:
            both = conv(F.pad(h, (conv.dilation[0], 0)))
            if mel is not None and self.mel is not None:
                both = both + self.mel(mel)
            a, b = both.chunk(2, dim=1)
            h = h + torch.tanh(a) * torch.sigmoid(b)
        return self.last(F.relu(h))
