"""People write the same thing in many ways: networks over images."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from tests.causal import Function
from tests.ways import A, B, Layers, Way, masked, samples_alike
from torch import Tensor, nn

H, W = 4, 6

WAYS: dict[str, tuple[Way, Callable[[], Layers]]] = {}


def stack(**extra: nn.Module) -> Layers:
    """Two masked convolutions, 1 to 6 to 3 channels, and more layers."""
    first = masked(nn.Conv2d(1, 6, 3, padding=1), A)
    return {"a": first, "b": masked(nn.Conv2d(6, 3, 3, padding=1), B), **extra}


def way(layers: Callable[[], Layers]) -> Callable[[Way], Way]:
    """Register a way of writing, named by its function."""

    def register(function: Way) -> Way:
        WAYS[function.__name__] = function, layers
        return function

    return register


@way(lambda: stack(norm=nn.BatchNorm2d(6)))
def batch_norm_in_eval_form(m: Function, x: Tensor) -> Tensor:
    return m.b(F.relu(m.norm(m.a(x))))


@way(lambda: stack(norm=nn.LayerNorm(6)))
def channel_layer_norm_after_a_permute(m: Function, x: Tensor) -> Tensor:
    return m.b(F.gelu(m.norm(m.a(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)))


@way(stack)
def channel_norm_written_out(m: Function, x: Tensor) -> Tensor:
    """A ConvNeXt's norm over channels first: mean and variance by hand."""
    h = m.a(x)
    mean = h.mean(1, keepdim=True)
    var = (h - mean).pow(2).mean(1, keepdim=True)
    return m.b((h - mean) / torch.sqrt(var + 1e-6))


@way(lambda: stack(norm=nn.GroupNorm(2, 6)))
def group_norm_of_the_payload(m: Function, x: Tensor) -> Tensor:
    h = m.a(x).permute(0, 2, 3, 1)
    h = m.norm(h.reshape(-1, 6)).reshape(h.shape)
    return m.b(h.permute(0, 3, 1, 2))


@way(lambda: stack(join=nn.Conv2d(9, 3, 1)))
def coordinate_and_constant_planes(m: Function, x: Tensor) -> Tensor:
    batch, _, rows, columns = x.shape
    down = torch.arange(rows, dtype=x.dtype)[:, None].expand(rows, columns) / rows
    across = torch.linspace(-1, 1, columns)[None].expand(rows, columns)
    planes = torch.stack([down, across, torch.ones(rows, columns)])[None]
    return m.join(torch.cat([F.relu(m.a(x)), planes.expand(batch, -1, -1, -1)], 1))


@way(lambda: stack(first=nn.Conv2d(2, 6, (2, 3)), left=nn.Conv2d(6, 6, (1, 2))))
def a_plane_of_ones_that_tells_the_padding_from_zero(m: Function, x: Tensor) -> Tensor:
    """PixelCNN++'s u_init: ones joined to the image before it is padded."""
    h = torch.cat([x, torch.ones_like(x)], 1)
    above = m.first(F.pad(h, (1, 1, 2, 0)))[:, :, :-1]
    return m.b(F.elu(m.left(F.pad(above, (1, 0)))))


@way(lambda: stack(first=nn.Conv2d(1, 6, (2, 3)), left=nn.Conv2d(6, 3, (1, 2))))
def padding_by_another_value_of_a_biased_feature(m: Function, x: Tensor) -> Tensor:
    h = m.first(F.pad(x, (1, 1, 2, 0), value=-0.4))[:, :, :-1]
    return m.left(F.pad(torch.sigmoid(h), (1, 0), value=0.3))


@way(lambda: stack(wide=masked(nn.Conv2d(1, 6, 3), [[1.0, 1, 1], [1, 1, 1], [0, 0, 0]])))
def full_padding_with_a_crop_afterwards(m: Function, x: Tensor) -> Tensor:
    h = m.wide(F.pad(x, (2, 2, 2, 2)))[:, :, :H, :]
    return m.b(F.elu(F.pad(h[:, :, :-1, 1:-1], (0, 0, 1, 0))))


@way(lambda: stack(down=nn.Conv2d(6, 5, 2, stride=2), up=nn.ConvTranspose2d(5, 6, 2, stride=2)))
def strided_with_transposed_convolution(m: Function, x: Tensor) -> Tensor:
    h = m.a(x)
    low = m.down(F.pad(h, (0, 0, 2, 0))[:, :, :-2])
    return m.b(F.elu(h + m.up(F.elu(low))))


@way(
    lambda: stack(
        down=nn.Conv2d(6, 5, 3, stride=2, padding=1),
        up=nn.ConvTranspose2d(5, 6, 3, stride=2, padding=1, output_padding=1),
    )
)
def strided_with_output_padding(m: Function, x: Tensor) -> Tensor:
    h = m.a(F.pad(x, (0, 0, 3, 0))[:, :, :-3])
    return m.b(F.elu(m.a(x)) + m.up(F.elu(m.down(h))))


@way(lambda: stack(low=nn.Conv2d(4, 24, 1)))
def pixel_shuffle(m: Function, x: Tensor) -> Tensor:
    low = m.low(F.pixel_unshuffle(x, 2))
    return m.b(F.pad(F.pixel_shuffle(F.relu(low), 2), (0, 0, 2, 0))[:, :, :-2])


@way(lambda: stack(low=nn.Conv2d(1, 6, 2, stride=2)))
def nearest_up_sampling(m: Function, x: Tensor) -> Tensor:
    up = F.interpolate(F.relu(m.low(x)), scale_factor=2, mode="nearest")
    return m.b(m.a(x) + F.pad(up, (0, 0, 2, 0))[:, :, :-2])


@way(lambda: stack(low=nn.Conv2d(1, 6, 1)))
def average_pooling_and_repeats(m: Function, x: Tensor) -> Tensor:
    low = F.avg_pool2d(F.relu(m.low(x)), 2)
    up = low.repeat_interleave(2, 2).repeat_interleave(2, 3)
    return m.b(m.a(x) + F.pad(up, (0, 0, 2, 0))[:, :, :-2])


@way(lambda: stack(first=nn.Linear(9, 6)))
def unfolded_patches(m: Function, x: Tensor) -> Tensor:
    seen = torch.tensor(A).flatten()
    patches = F.unfold(x, 3, padding=1) * seen[None, :, None]
    h = torch.relu(m.first(patches.transpose(1, 2)))
    return m.b(h.transpose(1, 2).reshape(-1, 6, *x.shape[2:]))


@way(lambda: stack(first=nn.Conv2d(2, 6, 1)))
def windows_by_tensor_unfold(m: Function, x: Tensor) -> Tensor:
    """The two rows above through Tensor.unfold, by sliding windows."""
    windows = F.pad(x, (0, 0, 2, 0))[:, 0, :-1].unfold(1, 2, 1)  # [B, H, W, 2]
    return m.b(F.relu(m.first(windows.permute(0, 3, 1, 2))))


@way(lambda: stack(first=nn.Conv2d(1, 6, 1)))
def roll_with_a_mask(m: Function, x: Tensor) -> Tensor:
    inside = torch.ones(x.shape[-1])
    inside[0] = 0
    return m.b(torch.tanh(m.first(torch.roll(x, 1, -1) * inside)))


@way(stack)
def slice_assignment(m: Function, x: Tensor) -> Tensor:
    """A shift written into zeros, and half the channels replaced."""
    h = torch.zeros_like(x)
    h[:, :, :, 1:] = x[:, :, :, :-1]
    out = F.relu(m.a(x)).clone()
    out[:, :3] = out[:, :3] * 0.5 + h
    return m.b(out)


@way(stack)
def in_place_updates_of_aliased_views(m: Function, x: Tensor) -> Tensor:
    h = m.a(x).clone()
    first, second = h.chunk(2, 1)
    first.mul_(2).add_(second)
    second.relu_()
    h[:, :, 1:] += 0.1
    return m.b(h)


@way(stack)
def aliased_rows_updated_one_after_the_other(m: Function, x: Tensor) -> Tensor:
    """A running sum down the rows by in-place addition: row r adds the finished row above."""
    h = m.a(x).clone()
    for row in range(1, h.shape[2]):
        h[:, :, row] += 0.5 * h[:, :, row - 1]
    return m.b(torch.tanh(h))


@way(
    lambda: stack(
        depth=masked(nn.Conv2d(6, 6, 3, padding=1, groups=6), B),
        grouped=masked(nn.Conv2d(6, 6, 3, padding=1, groups=3), B),
    )
)
def grouped_and_depthwise_convolution(m: Function, x: Tensor) -> Tensor:
    return m.b(F.silu(m.grouped(F.silu(m.depth(m.a(x))))))


@way(lambda: stack(point=nn.Conv2d(6, 6, 1)))
def einsum_for_a_1x1(m: Function, x: Tensor) -> Tensor:
    h = torch.einsum("bchw,oc->bohw", m.a(x), m.point.weight[:, :, 0, 0])
    return m.b(F.relu(h + m.point.bias[:, None, None]))


@way(lambda: stack(point=nn.Linear(6, 6)))
def einsum_and_tensordot_channels_last(m: Function, x: Tensor) -> Tensor:
    h = m.a(x).permute(0, 2, 3, 1)
    h = torch.tensordot(torch.einsum("...c,co->...o", h, m.point.weight), m.point.weight, dims=1)
    return m.b(h.permute(0, 3, 1, 2))


@way(stack)
def cumulative_sums(m: Function, x: Tensor) -> Tensor:
    """Of all rows above (the row itself taken away) and along the channels."""
    h = F.relu(m.a(x))
    above = h.cumsum(2) - h
    return m.b(above.cumsum(1) / 4)


def channels_in_order(m: Function, x: Tensor) -> Tensor:
    """R before G before B: each channel's logits see the channels drawn before it."""
    left = F.relu(m.embed(F.pad(x, (1, 0))[..., :-1]))
    base = m.out(left)
    green = F.conv2d(x[:, :1], m.own.weight[:3, :1])
    blue = F.conv2d(x[:, :2], m.own.weight[3:])
    return base + torch.cat([torch.zeros_like(blue), green, blue], 1)


@pytest.mark.parametrize("name", [*WAYS])
def test_this_way_samples_as_the_naive_loop_does(name: str) -> None:
    torch.manual_seed(7)
    function, layers = WAYS[name]
    samples_alike(function, layers(), (1, H, W))


def axial(m: Function, x: Tensor) -> Tensor:
    """Attention over factored axes: within the row, then down the columns, masks differing."""
    rows, columns = x.shape[2:]
    h = m.embed(F.pad(x, (1, 0))[..., :-1].permute(0, 2, 3, 1))
    q, k, v = m.qkv(h).chunk(3, -1)
    past = torch.tril(torch.ones(columns, columns))
    scores = q @ k.transpose(-1, -2) / math.sqrt(8)
    scores = scores * past - 1e9 * (1 - past)
    h = h + scores.softmax(-1) @ v
    q, k, v = (p.permute(0, 2, 1, 3) for p in m.qkv(h).chunk(3, -1))
    band = torch.full((rows, rows), -math.inf).triu(1)
    above = ((q @ k.transpose(-1, -2) / math.sqrt(8) + band).softmax(-1) @ v).permute(0, 2, 1, 3)
    above = torch.cat([torch.zeros_like(above[:, :1]), above[:, :-1]], 1)
    return m.out(torch.relu(h + above))


def flattened(m: Function, x: Tensor) -> Tensor:
    """Attention over all pixels as one sequence, its scores masked by multiplication."""
    rows, columns = x.shape[2:]
    h = m.embed(F.pad(x, (1, 0))[..., :-1].permute(0, 2, 3, 1)).flatten(1, 2)
    q, k, v = m.qkv(h).chunk(3, -1)
    past = torch.ones(rows * columns, rows * columns).tril(-columns)
    scores = torch.einsum("bqc,bkc->bqk", q, k).sigmoid() * past
    return m.out(F.relu(h + scores @ v / columns)).unflatten(1, (rows, columns))


@pytest.mark.parametrize("function", [axial, flattened])
def test_attention_over_pixels_samples_as_the_naive_loop_does(function: Way) -> None:
    torch.manual_seed(8)
    layers = {"embed": nn.Linear(1, 8), "qkv": nn.Linear(8, 24), "out": nn.Linear(8, 3)}
    samples_alike(function, layers, (1, H, W), layout="channels-last")


def test_channels_in_order_sample_as_the_naive_loop_does() -> None:
    torch.manual_seed(9)
    layers = {"embed": nn.Conv2d(3, 9, 1), "out": nn.Conv2d(9, 9, 1), "own": nn.Conv2d(2, 6, 1)}
    samples_alike(channels_in_order, layers, (3, 3, 4))


def everything_at_once(m: Function, x: Tensor) -> Tensor:
    """Norms, planes, strides, a roll, assignment and attention in one network."""
    batch, _, rows, columns = x.shape
    plane = torch.linspace(0, 1, rows)[None, None, :, None].expand(batch, 1, rows, columns)
    h = F.relu(m.norm(m.a(x)))
    h[:, :1] += plane
    low = m.down(F.pad(h, (0, 0, 2, 0))[:, :, :-2])
    h = h + F.interpolate(F.silu(low), scale_factor=2)
    keep = torch.ones(columns)
    keep[:1] = 0
    h = h + 0.5 * torch.roll(h, 1, 3) * keep
    seq = torch.einsum("bchw,oc->bhwo", h, m.point.weight).flatten(1, 2)
    past = torch.ones(rows * columns, rows * columns, dtype=torch.bool).tril()
    seq = seq + F.scaled_dot_product_attention(seq, seq, seq, attn_mask=past)
    return m.b(seq.transpose(1, 2).reshape(batch, 6, rows, columns))


def test_ways_mixed_sample_as_the_naive_loop_does() -> None:
    torch.manual_seed(10)
    layers = stack(norm=nn.BatchNorm2d(6), down=nn.Conv2d(6, 6, 2, stride=2), point=nn.Linear(6, 6))
    samples_alike(everything_at_once, layers, (1, H, W))
