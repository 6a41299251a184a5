"""Blocks written in many ways, put together at random: still one sampler, still the same values."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.causal import Function
from tests.ways import samples_alike
from torch import Tensor, nn

Block = Callable[[Function, Tensor], Tensor]  # [B, 6, T] -> [B, 6, T]


def dilated(m: Function, h: Tensor) -> Tensor:
    return h + F.glu(m.two(F.pad(h, (4, 0))), 1)


def cropped(m: Function, h: Tensor) -> Tensor:
    return F.relu(F.conv1d(h, m.one.weight, m.one.bias, padding=2)[..., :-2])


def normed(m: Function, h: Tensor) -> Tensor:
    return m.norm(h)


def contracted(m: Function, h: Tensor) -> Tensor:
    return torch.einsum("bct,co->bot", h, m.point.weight)


def attended(m: Function, h: Tensor) -> Tensor:
    q, k, v = m.qkv(h.mT).chunk(3, -1)
    return h + F.scaled_dot_product_attention(q, k, v, is_causal=True).mT


def carried(m: Function, h: Tensor) -> Tensor:
    return m.gru(h.mT)[0].mT


def summed(m: Function, h: Tensor) -> Tensor:
    return h.cumsum(-1).tanh()


def assigned(m: Function, h: Tensor) -> Tensor:
    h = h.clone()
    h[:, 1:3] = h[:, 3:5].sigmoid()
    later = torch.zeros_like(h)
    later[:, :, 1:] = h[:, :, :-1]
    return later


def turned(m: Function, h: Tensor) -> Tensor:
    return torch.lerp(h.roll(2, 1), h.flip(1), 0.3)


BLOCKS: list[Block] = [
    dilated, cropped, normed, contracted, attended, carried, summed, assigned, turned,
]  # fmt: skip


@settings(max_examples=5)
@given(st.lists(st.sampled_from(BLOCKS), min_size=2, max_size=4))
def test_any_sequence_of_blocks_samples_as_the_naive_loop_does(blocks: list[Block]) -> None:
    def forward(m: Function, x: Tensor) -> Tensor:
        h = F.pad(m.token(x).mT, (1, 0))[..., :-1]
        for block in blocks:
            h = block(m, h)
        return m.out(h)

    torch.manual_seed(12)
    layers = {
        "token": nn.Embedding(3, 6), "one": nn.Conv1d(6, 6, 3), "norm": nn.BatchNorm1d(6),
        "two": nn.Conv1d(6, 12, 3, dilation=2), "point": nn.Linear(6, 6), "qkv": nn.Linear(6, 18),
        "gru": nn.GRU(6, 6, batch_first=True), "out": nn.Conv1d(6, 3, 1),
    }  # fmt: skip
    space = samples_alike(forward, layers, (), kind="audio", encoding="int", sites=13)
    assert space == "flat"
