"""People write the same causal network in many ways; all of them derive, and sample alike."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.causal import Function, drawn, network
from torch import Tensor, nn

from ancestral.runtimes.derive import derive
from ancestral.runtimes.naive import NaiveRuntime
from ancestral.runtimes.reference import ReferenceRuntime

H, W, T = 5, 4, 21


def masked(conv: nn.Conv2d, mask: list[list[float]]) -> nn.Conv2d:
    """A convolution whose weights are zero where the mask is, written into the weights."""
    with torch.no_grad():
        conv.weight *= torch.tensor(mask)
    return conv


A = [[1.0, 1, 1], [1, 0, 0], [0, 0, 0]]
B = [[1.0, 1, 1], [1, 1, 0], [0, 0, 0]]


def padded_conv(m: Function, x: Tensor) -> Tensor:
    return m.b(F.relu(m.a(x)))


def crop_after_full_padding(m: Function, x: Tensor) -> Tensor:
    """Pad all round, convolve, keep the upper left: the shift is in the crop."""
    h = m.wide(F.pad(x, (2, 2, 2, 2)))[:, :, :H, :]
    return m.b(F.elu(F.pad(h[:, :, :-1, 1:-1], (0, 0, 1, 0))))


def shifts_by_cat(m: Function, x: Tensor) -> Tensor:
    """Down and right shifts as published for PixelCNN++: zeros joined before a cropped map."""
    h = m.point(x)
    down = torch.cat([torch.zeros_like(h[:, :, :1]), h[:, :, :-1]], 2)
    right = torch.cat([torch.zeros_like(h[..., :1]), h[..., :-1]], 3)
    return m.out(torch.tanh(m.above(F.pad(down, (1, 1, 1, 0))) + m.left(F.pad(right, (1, 0)))))


def bias_read_in_the_padding(m: Function, x: Tensor) -> Tensor:
    """Padding by another value than zero."""
    return m.b(F.relu(m.pad_conv(F.pad(x, (1, 1, 1, 0), value=0.7)[:, :, :-1])))


def channel_norm(m: Function, x: Tensor) -> Tensor:
    h = m.norm(m.a(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    return m.b(F.gelu(h))


def depthwise(m: Function, x: Tensor) -> Tensor:
    return m.out(F.silu(m.depth(m.a(x))))


def linear_as_1x1(m: Function, x: Tensor) -> Tensor:
    h = m.a(x).permute(0, 2, 3, 1)
    h = F.linear(h, m.out.weight[:, :, 0, 0], m.out.bias)
    return h.permute(0, 3, 1, 2)


def dense_connections(m: Function, x: Tensor) -> Tensor:
    h = F.relu(m.a(x))
    h = torch.cat([h, m.c(h), x.new_full(x.shape, 0.5)], 1)
    return m.join(h)


def coordinates(m: Function, x: Tensor) -> Tensor:
    """Background planes of row and column positions beside the image."""
    rows = torch.linspace(-1, 1, H)[None, None, :, None].expand(x.shape[0], 1, H, W)
    cols = torch.linspace(-1, 1, W)[None, None, None, :].expand(x.shape[0], 1, H, W)
    return m.join(
        torch.cat([F.relu(m.a(x)), rows, cols, x.new_ones(x.shape)[:, : 0 + 1]], 1)[:, :9]
    )


def layers(**extra: nn.Module) -> dict[str, nn.Module]:
    torch.manual_seed(3)
    first = masked(nn.Conv2d(1, 6, 3, padding=1), A)
    return {"a": first, "b": masked(nn.Conv2d(6, 3, 3, padding=1), B), **extra}


IMAGES = {
    "padded": (padded_conv, layers),
    "crop": (
        crop_after_full_padding,
        lambda: layers(wide=masked(nn.Conv2d(1, 6, 3), [[1.0, 1, 1], [1, 1, 1], [0, 0, 0]])),
    ),
    "cat shifts": (
        shifts_by_cat,
        lambda: layers(
            point=nn.Conv2d(1, 5, 1),
            above=nn.Conv2d(5, 5, (2, 3)),
            left=nn.Conv2d(5, 5, (1, 2)),
            out=nn.Conv2d(5, 3, 1),
        ),
    ),
    "padding value": (bias_read_in_the_padding, lambda: layers(pad_conv=nn.Conv2d(1, 6, (1, 3)))),
    "channel norm": (channel_norm, lambda: layers(norm=nn.LayerNorm(6))),
    "root mean square": (channel_norm, lambda: layers(norm=nn.RMSNorm(6, eps=1e-3))),
    "depthwise": (
        depthwise,
        lambda: layers(
            depth=masked(nn.Conv2d(6, 6, 3, padding=1, groups=3), B), out=nn.Conv2d(6, 3, 1)
        ),
    ),
    "linear": (linear_as_1x1, lambda: layers(out=nn.Conv2d(6, 3, 1))),
    "dense": (
        dense_connections,
        lambda: layers(c=masked(nn.Conv2d(6, 2, 3, padding=1), B), join=nn.Conv2d(9, 3, 1)),
    ),
    "coordinates": (coordinates, lambda: layers(join=nn.Conv2d(9, 3, 1))),
}


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_network_in_this_style_samples_as_the_naive_loop_does(name: str) -> None:
    function, build = IMAGES[name]
    net = network(Function(function, **build()), (1, H, W))
    program = derive(net)
    fast = drawn(ReferenceRuntime(program, net, 3), H * W, range(3), staggered=True)
    slow = drawn(NaiveRuntime(net, 3), H * W, range(3))
    for item, values in slow.items():
        np.testing.assert_array_equal(fast[item], values)


def gated_stack(m: Function, x: Tensor) -> Tensor:
    h = F.pad(m.token(x).mT, (1, 0))[..., :-1]
    for conv in (m.one, m.two):
        value, gate = conv(F.pad(h, (conv.dilation[0] * (conv.kernel_size[0] - 1), 0))).chunk(2, 1)
        h = h + torch.tanh(value) * torch.sigmoid(gate)
    return m.out(h)


def crop_in_time(m: Function, x: Tensor) -> Tensor:
    """Symmetric padding by the layer itself, cropped to the past afterwards."""
    h = m.full(m.token(x).mT)[..., : x.shape[1]]
    return m.out(F.relu(torch.cat([torch.zeros_like(h[..., :1]), h[..., :-1]], -1)))


def start_vector(m: Function, x: Tensor) -> Tensor:
    start = m.start.weight[None].expand(x.shape[0], 1, -1)
    h = torch.cat([start, m.token(x)[:, :-1]], 1)
    return m.out(F.relu(m.one(F.pad(h.mT, (2, 0))).chunk(2, 1)[0]))


def time_layers() -> dict[str, nn.Module]:
    torch.manual_seed(4)
    return {
        "token": nn.Embedding(3, 4), "one": nn.Conv1d(4, 8, 3),
        "two": nn.Conv1d(4, 8, 2, dilation=4), "start": nn.Embedding(1, 4),
        "full": nn.Conv1d(4, 4, 3, padding=2), "out": nn.Conv1d(4, 3, 1),
    }  # fmt: skip


@pytest.mark.parametrize("function", [gated_stack, crop_in_time, start_vector])
def test_a_network_over_time_samples_as_the_naive_loop_does(function) -> None:  # type: ignore[no-untyped-def]
    net = network(Function(function, **time_layers()), kind="audio", encoding="int")
    program = derive(net)
    fast = drawn(ReferenceRuntime(program, net, 3), T, range(4), staggered=True)
    slow = drawn(NaiveRuntime(net, 4), T, range(4))
    for item, values in slow.items():
        np.testing.assert_array_equal(fast[item], values)


def heads(m: Function, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    batch = x.shape[0]
    token = m.token(x.flatten(1))
    count = token.shape[1]
    h = torch.cat([m.start.weight[None].expand(batch, 1, -1), token[:, :-1]], 1)
    h = h + m.where.weight[:count]
    q, k, v = m.qkv(m.norm(h)).view(batch, count, 3, 2, 4).permute(2, 0, 3, 1, 4)
    return h, q, k, v


def merged(m: Function, h: Tensor, mixed: Tensor) -> Tensor:
    return m.out(h + mixed.transpose(1, 2).flatten(2))


def fused(m: Function, x: Tensor) -> Tensor:
    h, q, k, v = heads(m, x)
    return merged(m, h, F.scaled_dot_product_attention(q, k, v, is_causal=True))


def fused_with_mask(m: Function, x: Tensor) -> Tensor:
    """A window of five positions, as a boolean mask."""
    h, q, k, v = heads(m, x)
    size = q.shape[2]
    band = torch.ones(size, size, dtype=torch.bool).tril() & torch.ones(
        size, size, dtype=torch.bool
    ).triu(-4)
    return merged(m, h, F.scaled_dot_product_attention(q, k, v, attn_mask=band))


def minus_infinity(m: Function, x: Tensor) -> Tensor:
    h, q, k, v = heads(m, x)
    scores = q @ k.mT / math.sqrt(4)
    future = torch.ones(q.shape[2], q.shape[2], dtype=torch.bool).triu(1)
    return merged(m, h, scores.masked_fill(future, -math.inf).softmax(-1) @ v)


def large_negative(m: Function, x: Tensor) -> Tensor:
    """GPT-2's mask: products kept where it is one, −10⁹ added where it is zero."""
    h, q, k, v = heads(m, x)
    mask = torch.ones(q.shape[2], q.shape[2]).tril()
    scores = (q @ k.mT) * 0.5 * mask - 1e9 * (1 - mask)
    return merged(m, h, F.softmax(scores, -1) @ v)


def by_multiplication(m: Function, x: Tensor) -> Tensor:
    """No softmax: positive scores, zero on the future (linear attention's quadratic form)."""
    h, q, k, v = heads(m, x)
    scores = F.elu(q @ k.mT) + 1
    return merged(m, h, (scores * torch.ones(q.shape[2], q.shape[2]).tril()) @ v / 8)


def attention_layers() -> dict[str, nn.Module]:
    torch.manual_seed(5)
    return {
        "token": nn.Embedding(3, 8), "start": nn.Embedding(1, 8), "where": nn.Embedding(H * W, 8),
        "qkv": nn.Linear(8, 24), "norm": nn.LayerNorm(8), "out": nn.Linear(8, 3),
    }  # fmt: skip


STYLES = [fused, fused_with_mask, minus_infinity, large_negative, by_multiplication]


@pytest.mark.parametrize("function", STYLES)
@pytest.mark.parametrize("kind", ["image", "vector"])
def test_attention_in_this_style_samples_as_the_naive_loop_does(function, kind: str) -> None:  # type: ignore[no-untyped-def]
    shape = (1, H, W) if kind == "image" else (H * W,)
    module = Function(function, **attention_layers())
    net = network(module, shape, kind=kind, encoding="int", layout="channels-last")
    program = derive(net)
    slow = drawn(NaiveRuntime(net, 4), H * W, range(4))
    fast = drawn(ReferenceRuntime(program, net, 3), H * W, range(4), staggered=True)
    for item, values in slow.items():
        np.testing.assert_array_equal(fast[item], values)


@pytest.mark.parametrize("prefix", [1, 3, W, W + 1, 2 * W + 3, H * W - 1, H * W])
@pytest.mark.parametrize("style", ["padded", "cat shifts", "attention"])
def test_a_prefix_continues_as_the_naive_loop_does(style: str, prefix: int) -> None:
    if style == "attention":
        module = Function(fused, **attention_layers())
        net = network(module, (1, H, W), encoding="int", layout="channels-last")
    else:
        function, build = IMAGES[style]
        net = network(Function(function, **build()), (1, H, W))
    known = np.random.default_rng(prefix).integers(0, 3, (prefix, 1))
    slow = drawn(NaiveRuntime(net, 2), H * W, range(2), prefix=known)
    fast = drawn(ReferenceRuntime(derive(net), net, 2), H * W, range(2), prefix=known)
    for item, values in slow.items():
        np.testing.assert_array_equal(fast[item], values)
