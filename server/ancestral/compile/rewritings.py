"""The operators that are written out as others: einsum and its kin, gates, pooling by means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ancestral.compile.composite import COMPOSITE
from ancestral.compile.einsum import einsum, tensordot
from ancestral.compile.graph import Graph, Ref
from ancestral.compile.norms import NORMS, NORMS_ON_THE_LATTICE, affine, training
from ancestral.compile.rewriter import Rewriter, Rewriting, rewrite


def _einsum(r: Rewriter, equation: str, operands: Sequence[Ref], **_: Any) -> Ref:
    return einsum(r, equation, operands)


def _glu(r: Rewriter, x: Ref, dim: int = -1) -> Ref:
    """Dauphin et al. 2017: the first half times the sigmoid of the second."""
    size = r.shape(x)[dim]
    value = r.emit("aten.slice.Tensor", x, dim, 0, size // 2)
    gate = r.emit("aten.slice.Tensor", x, dim, size // 2, size)
    return r.emit("aten.mul.Tensor", value, r.emit("aten.sigmoid.default", gate))


def _addcmul(r: Rewriter, x: Ref, a: Ref, b: Ref, *, value: float = 1) -> Ref:
    product = r.emit("aten.mul.Tensor", a, b)
    return r.emit("aten.add.Tensor", x, _scaled(r, product, value))


def _addcdiv(r: Rewriter, x: Ref, a: Ref, b: Ref, *, value: float = 1) -> Ref:
    ratio = r.emit("aten.div.Tensor", a, b)
    return r.emit("aten.add.Tensor", x, _scaled(r, ratio, value))


def _lerp(r: Rewriter, a: Ref, b: Ref, weight: Any) -> Ref:
    step = r.emit("aten.sub.Tensor", b, a)
    return r.emit("aten.add.Tensor", a, r.emit("aten.mul.Tensor", step, weight))


def _baddbmm(r: Rewriter, x: Ref, a: Ref, b: Ref, *, beta: float = 1, alpha: float = 1) -> Ref:
    product = _scaled(r, r.emit("aten.matmul.default", a, b), alpha)
    return product if beta == 0 else r.emit("aten.add.Tensor", _scaled(r, x, beta), product)


def _addmv(r: Rewriter, a: Ref, vector: Ref) -> Ref:
    """A product with a vector: a sum of elementwise products."""
    return r.emit("aten.sum.dim_IntList", r.emit("aten.mul.Tensor", a, vector), [-1])


def _scaled(r: Rewriter, x: Ref, by: float) -> Ref:
    return x if by == 1 else r.emit("aten.mul.Tensor", x, by)


def _pooled(rank: int) -> Rewriting:
    def pool(r: Rewriter, x: Ref, size: Sequence[int], stride: Sequence[int] = (),
             padding: Sequence[int] = (0,), ceil: bool = False, counted: bool = True,
             divisor: int | None = None) -> Ref:  # fmt: skip
        """A mean over windows: a convolution of each channel with equal weights."""
        kernel = list(size) * (rank if len(size) == 1 else 1)
        if ceil or (not counted and any(padding)):
            raise ValueError("windows of different sizes")
        channels = r.shape(x)[1]
        count = float(torch.tensor(kernel).prod()) if divisor is None else float(divisor)
        weight = r.constant(torch.full((channels, 1, *kernel), 1 / count))
        return r.emit(f"aten.conv{rank}d.default", x, weight, None, list(stride) or kernel,
                      list(padding), [1] * rank, channels)  # fmt: skip

    return pool


def _mean_of_all(rank: int) -> Rewriting:
    def pool(r: Rewriter, x: Ref, size: Any) -> Ref:
        """Pooling to one element is the mean over all positions."""
        if list(size) != [1] * rank:
            raise ValueError("windows of different sizes")
        return r.emit("aten.mean.dim", x, list(range(-rank, 0)), True)

    return pool


def _dropout(r: Rewriter, x: Ref, _: float, train: bool) -> Ref:
    if train:
        raise training(r, "dropout")
    return x


def _prelu(r: Rewriter, x: Ref, weight: Ref) -> Ref:
    """max(x, 0) + w · min(x, 0), a weight for each channel or one for all."""
    below = r.emit("aten.clamp_max.default", x, 0)
    scaled = affine(r, below, weight, None) if r.shape(weight) != (1,) else (
        r.emit("aten.mul.Tensor", below, weight))  # fmt: skip
    return r.emit("aten.add.Tensor", r.emit("aten.relu.default", x), scaled)


def _rrelu(r: Rewriter, x: Ref, lower: float = 1 / 8, upper: float = 1 / 3,
           training: bool = False, _: Any = None) -> Ref:  # fmt: skip
    if training:
        raise ValueError("a random slope")
    return r.emit("aten.leaky_relu.default", x, (lower + upper) / 2)


def _slice_scatter(r: Rewriter, x: Ref, part: Ref, dim: int = 0, start: Any = None,
                   stop: Any = None, step: int = 1) -> Ref:  # fmt: skip
    """An assignment to a range: what lies before it, the part, what lies after it."""
    size = r.shape(x)[dim]
    low = 0 if start is None else r.number(start)
    last = size if stop is None else min(r.number(stop), size)
    first = low + size if low < 0 else low
    last = last + size if last < 0 else last
    if step != 1:
        raise ValueError("an assignment to every other element")
    parts = [part]
    if first > 0:
        parts.insert(0, r.emit("aten.slice.Tensor", x, dim, 0, start))
    if last < size:
        parts.append(r.emit("aten.slice.Tensor", x, dim, stop, END))
    return part if len(parts) == 1 else r.emit("aten.cat.default", parts, dim)


def _select_scatter(r: Rewriter, x: Ref, part: Ref, dim: int, at: Any) -> Ref:
    place = r.number(at) % r.shape(x)[dim]
    return _slice_scatter(r, x, r.emit("aten.unsqueeze.default", part, dim), dim, place, place + 1)


def _copy(r: Rewriter, x: Ref, source: Ref, *_: Any) -> Ref:
    """All of x replaced: x gives its shape alone."""
    if r.is_located(source):
        return r.emit("aten.expand_as.default", source, x)
    return r.emit("aten.add.Tensor", r.emit("aten.zeros_like.default", x), source)


def _unfold(r: Rewriter, x: Ref, dim: int, size: int, step: int) -> Ref:
    """Windows that slide by one: as many shifted copies as a window has elements."""
    if step != 1 or not r.is_located(x):
        raise ValueError("windows that leap")
    dim %= len(r.shape(x))
    ends = [last + 1 - size or END for last in range(size)]
    shifted = [r.emit("aten.slice.Tensor", x, dim, k, end) for k, end in enumerate(ends)]
    return r.emit("aten.stack.default", shifted, -1)


def _attention(r: Rewriter, q: Ref, k: Ref, v: Ref, *args: Any, **kwargs: Any) -> Ref:
    """Groups of queries that share a key: keys and values repeated (Ainslie et al. 2023)."""
    if not kwargs.pop("enable_gqa", False):
        raise ValueError("a key for each query")
    keys, values = (
        r.emit("aten.repeat_interleave.self_int", x, r.shape(q)[-3] // r.shape(x)[-3], -3)
        for x in (k, v)
    )
    return r.emit("aten.scaled_dot_product_attention.default", q, keys, values, *args, **kwargs)


def _fill(r: Rewriter, x: Ref, value: Any) -> Ref:
    if isinstance(value, Ref):
        return _copy(r, x, value)
    return r.emit("aten.full_like.default", x, value)


END = (1 << 63) - 1

ALWAYS: dict[str, Rewriting] = {
    **COMPOSITE,
    **NORMS,
    "aten.einsum": _einsum,
    "aten.tensordot": tensordot,
    "aten.glu": _glu,
    "aten.addcmul": _addcmul,
    "aten.addcdiv": _addcdiv,
    "aten.lerp": _lerp,
    "aten.scaled_dot_product_attention": _attention,
    "aten.baddbmm": _baddbmm,
    "aten.mv": _addmv,
    "aten.avg_pool1d": _pooled(1),
    "aten.avg_pool2d": _pooled(2),
    "aten.adaptive_avg_pool1d": _mean_of_all(1),
    "aten.adaptive_avg_pool2d": _mean_of_all(2),
    "aten._adaptive_avg_pool2d": _mean_of_all(2),
    "aten.dropout": _dropout,
    "aten.feature_dropout": _dropout,
    "aten.prelu": _prelu,
    "aten.rrelu": _rrelu,
    "aten.fill": _fill,
}
# What the rules by elements read as it stands, one address for each element.
ON_THE_LATTICE: dict[str, Rewriting] = {
    **NORMS_ON_THE_LATTICE,
    "aten.unfold": _unfold,
    "aten.slice_scatter": _slice_scatter,
    "aten.select_scatter": _select_scatter,
    "aten.copy": _copy,
}


def written_out(graph: Graph, example: Sequence[torch.Tensor], *, lattice: bool) -> Graph:
    """The graph in operators that have rules, as far as they are known.

    `lattice`: for the rules that place whole values, not single elements.
    """
    return rewrite(graph, example, ON_THE_LATTICE if lattice else ALWAYS)
