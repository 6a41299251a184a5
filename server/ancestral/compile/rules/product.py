"""Products with weights: linear layers, and convolutions as products over their non-zero taps."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import torch

from ancestral.compile.place import (
    NEVER,
    Atom,
    Dim,
    Fixed,
    Ints,
    View,
    has,
    moved,
    payload_shape,
)
from ancestral.compile.rules.movement import pad_axis
from ancestral.compile.tracer import Tracer, rule


@rule("aten.linear")
def linear(t: Tracer, x: View, weight: Fixed, bias: Fixed | None = None) -> View:
    return _linear(t, x, weight, bias, transposed=False)


@rule("aten.addmm")
def addmm(t: Tracer, bias: Fixed, x: View, weight: Fixed, **_: Any) -> View:
    return _linear(t, x, weight, bias, transposed=True)


def _linear(t: Tracer, x: View, weight: Any, bias: Any, *, transposed: bool) -> View:
    """y = x Wᵀ + b over the last dimension; a zero weight reads nothing."""
    if not isinstance(weight, Fixed) or weight.item or (bias is not None and bias.item):
        raise t.unsupported("a product with weights that depend on the data or the condition")
    if has(x.dims[-1], "row", "col", "flat"):
        raise t.unsupported("a product over the sites themselves")
    matrix = weight.tensor.T if transposed else weight.tensor  # [out, in]
    out_size, in_size = int(matrix.shape[0]), int(matrix.shape[1])
    reads = (matrix != 0).numpy()
    incoming = x.ready.reshape(-1, in_size)
    ready = np.stack([_latest(reads, row) for row in incoming]).ravel()
    dims = (*x.dims[:-1], (Atom("payload", out_size),) if out_size != 1 else ())
    return t.value(
        "linear", dims, x.space, x.extent, [t.take(x)], ready,
        weight=weight.name, bias=None if bias is None else bias.name, transposed=transposed,
        outer=incoming.shape[0], reads=reads, macs=incoming.shape[0] * out_size * in_size,
    )  # fmt: skip


def _latest(reads: Any, ready: Ints) -> Ints:
    """For each output, the latest input it reads with a non-zero weight."""
    order = np.argsort(-ready, kind="stable")
    sorted_reads = reads[:, order]
    return np.where(sorted_reads.any(1), ready[order][sorted_reads.argmax(1)], NEVER)


@rule("aten.mm", "aten.matmul", "aten.bmm")
def matmul(t: Tracer, a: Any, b: Any) -> View:
    if isinstance(a, View) and isinstance(b, Fixed):
        if b.tensor.dim() != 2:
            return _site_linear(t, a, b)
        return _linear(t, a, b, None, transposed=True)
    if isinstance(a, View) and isinstance(b, View):
        if not any(has(dim, "row", "col", "flat", "key") for x in (a, b) for dim in x.dims[-2:]):
            return _site_product(t, a, b)
        from ancestral.compile.rules.attention import matmul_of_values

        return matmul_of_values(t, a, b)
    raise t.unsupported("a constant times a computed value")


def _site_linear(t: Tracer, x: View, weight: Fixed) -> View:
    """A product with a matrix for every site, or every part of the payload: x [..., M, in]."""
    if weight.tensor.dim() < 3 or has(x.dims[-1], "row", "col", "flat", "key") or x.keyed:
        raise t.unsupported("a product with a constant along a site axis")
    size, out = (int(s) for s in weight.tensor.shape[-2:])
    shape = payload_shape(x.dims)
    own = tuple((Atom("payload", s),) if s != 1 else () for s in (size, out))
    if len(weight.tensor.shape) > len(x.dims):
        raise t.unsupported("a product with a constant of more dimensions")
    table = t.table(weight, (*x.dims[:-2], *own))
    ready = np.repeat(x.ready.reshape(-1, size).max(1), out)
    return t.value(
        "site-linear", (*x.dims[:-1], own[1]), x.space, x.extent, [t.take(x), table], ready,
        blocks=prod(shape[:-2]), rows=shape[-2], width=size, outer=out,
        macs=prod(shape) * out,
    )  # fmt: skip


def _site_product(t: Tracer, a: View, b: View) -> View:
    """Matrices of computed values of the same site, [..., M, K] times [..., K, N]."""
    a, b = t.same_space([a, b])
    shapes = [payload_shape(x.dims) for x in (a, b)]
    if len(a.dims) != len(b.dims) or len(a.dims) < 3:
        raise t.unsupported("a product of values of different ranks")
    lead = np.broadcast_shapes(shapes[0][:-2], shapes[1][:-2])
    rows, width, out = *shapes[0][-2:], shapes[1][-1]
    picks = [
        np.broadcast_to(np.arange(x.pmap.size).reshape(shape), (*lead, *shape[-2:])).ravel()
        for x, shape in zip((a, b), shapes, strict=True)
    ]
    ready = np.maximum(
        a.ready[picks[0]].reshape(-1, rows, width).max(2)[:, :, None],
        b.ready[picks[1]].reshape(-1, width, out).max(1)[:, None],
    )
    shared = (p or q for p, q in zip(a.dims[:-2], b.dims[:-2], strict=True))
    dims = (*shared, a.dims[-2], b.dims[-1])
    extent = (max(a.extent[0], b.extent[0]), max(a.extent[1], b.extent[1]))
    return t.value(
        "site-product", dims, a.space, extent, [t.take(a, picks[0]), t.take(b, picks[1])],
        ready.ravel(), blocks=prod(lead), rows=rows, width=width, outer=out,
        macs=prod(lead) * rows * width * out,
    )  # fmt: skip


@rule("aten.conv1d", "aten.conv2d")
def conv(t: Tracer, x: View, weight: Fixed, bias: Fixed | None = None, stride: Any = 1,
         padding: Any = 0, dilation: Any = 1, groups: int = 1) -> View:  # fmt: skip
    return _conv(t, x, weight, bias, stride, padding, dilation, groups)


@rule("aten.convolution")
def convolution(t: Tracer, x: View, weight: Fixed, bias: Fixed | None, stride: Any, padding: Any,
                dilation: Any, transposed: bool, _margin: Any, groups: int) -> View:  # fmt: skip
    if transposed:
        raise t.unsupported("a transposed convolution")
    return _conv(t, x, weight, bias, stride, padding, dilation, groups)


def _conv(t: Tracer, x: View, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any,
          groups: int) -> View:  # fmt: skip
    if not isinstance(weight, Fixed) or weight.item or (bias is not None and bias.item):
        raise t.unsupported("a convolution whose weights depend on the data or the condition")
    kernel = tuple(weight.tensor.shape[2:])
    spatial = len(kernel)
    steps, spread = _tuple(stride, spatial), _tuple(dilation, spatial)
    if set(steps) != {1}:
        raise t.unsupported("a strided convolution")
    axes = x.dims[-spatial:]
    kinds = [dim[0].kind if len(dim) == 1 else "" for dim in axes]
    thin = [i for i, dim in enumerate(axes) if not dim]  # axes of one element: time as an image
    if kinds == ["row", "col"] and x.space == "flat":
        x = t.copy(x, "grid")
    elif [kind for kind in kinds if kind] not in (["row", "col"], ["flat"]):
        raise t.unsupported("a convolution over an axis that is not a site axis")
    taps = _live_taps(weight.tensor)
    for i, (size, gap) in enumerate(zip(kernel, spread, strict=True)):
        before, after = _padding(padding, i, size, gap)
        if i in thin:
            if before + after != (size - 1) * gap:
                raise t.unsupported("a convolution that lengthens an axis of one element")
            taps = [tap for tap in taps if tap[i] * gap == before]
        elif before or after:
            x = pad_axis(t, x, len(x.dims) - spatial + i, before, after, 0.0)
    if not taps:
        raise t.unsupported("a convolution that reads nothing")
    offsets = [_offset(tap, spread, thin) for tap in taps]
    reads = np.stack([_mask(weight.tensor, tap, groups) for tap in taps])  # [taps, out, in]
    ready = np.full(weight.tensor.shape[0], NEVER, dtype=np.int64)
    for block, offset in zip(reads, offsets, strict=True):
        ready = np.maximum(ready, _latest(block, moved(x.ready, *offset)))
    extent = list(x.extent)
    new_axes: list[Dim] = []
    for i, dim in enumerate(x.dims[-spatial:]):
        if i in thin:
            new_axes.append(())
            continue
        which = 0 if dim[0].kind == "row" else 1
        extent[which] -= (kernel[i] - 1) * spread[i]
        new_axes.append((Atom(dim[0].kind, extent[which]),))
    out_channels = int(weight.tensor.shape[0])
    channel = (Atom("payload", out_channels),) if out_channels != 1 else ()
    if payload_shape(x.dims)[-spatial - 1] != x.pmap.size:
        raise t.unsupported("a convolution over several payload axes")
    return t.value(
        "conv", (x.dims[0], channel, *new_axes), x.space, (extent[0], extent[1]),
        [t.take(x, taps=offsets)], ready, weight=weight.name,
        bias=None if bias is None else bias.name, taps=taps, reads=reads, groups=groups,
        macs=len(taps) * prod(weight.tensor.shape[:2]),
    )  # fmt: skip


def _live_taps(weight: torch.Tensor) -> list[tuple[int, ...]]:
    """The kernel positions at which any weight is non-zero, in row-major order."""
    live = (weight != 0).any(0).any(0)
    return [tuple(int(i) for i in tap) for tap in live.nonzero()] or [(0,) * live.dim()]


def _mask(weight: torch.Tensor, tap: tuple[int, ...], groups: int) -> Any:
    """Which inputs each output channel reads at one tap, [out, in], groups unfolded."""
    index: Any = (slice(None), slice(None), *tap)
    block = (weight[index] != 0).numpy()
    if groups == 1:
        return block
    out, per_group = block.shape
    reads = np.zeros((out, per_group * groups), dtype=bool)
    size = out // groups
    for g in range(groups):
        reads[g * size : (g + 1) * size, g * per_group : (g + 1) * per_group] = block[
            g * size : (g + 1) * size
        ]
    return reads


def _offset(
    tap: tuple[int, ...], dilation: tuple[int, ...], thin: Sequence[int]
) -> tuple[int, int]:
    at = [i * d for n, (i, d) in enumerate(zip(tap, dilation, strict=True)) if n not in thin]
    return (at[0], at[1]) if len(at) == 2 else (0, at[0])


def _tuple(value: Any, count: int) -> tuple[int, ...]:
    if isinstance(value, Sequence):
        return tuple(int(v) for v in value) * (count if len(value) == 1 else 1)
    return (int(value),) * count


def _padding(padding: Any, axis: int, size: int, gap: int) -> tuple[int, int]:
    if isinstance(padding, str):
        total = gap * (size - 1) if padding == "same" else 0
        return total // 2, total - total // 2
    pads = list(padding) if isinstance(padding, Sequence) else [padding]
    both = int(pads[axis] if len(pads) > 1 else pads[0])
    return both, both
