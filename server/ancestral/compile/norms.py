"""Normalisations and measures of spread, written out as sums and elementwise operators."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, prod
from typing import Any

from ancestral.compile.errors import CompileError
from ancestral.compile.graph import Ref
from ancestral.compile.rewriter import Rewriter, Rewriting


def _batch_norm(r: Rewriter, x: Ref, weight: Ref | None, bias: Ref | None, mean: Ref | None,
                var: Ref | None, *how: Any) -> Ref:  # fmt: skip
    """In eval form: each channel times one number plus another, both from the weights."""
    of_statistics = r.node.packet == "aten._native_batch_norm_legit_no_training"
    eps = how[1] if of_statistics else how[2]
    if mean is None or var is None or (how[0] and not of_statistics):
        raise training(r, "batch norm")
    scale = r.emit("aten.rsqrt.default", r.emit("aten.add.Tensor", var, eps))
    scale = scale if weight is None else r.emit("aten.mul.Tensor", scale, weight)
    shift = r.emit("aten.neg.default", r.emit("aten.mul.Tensor", mean, scale))
    shift = shift if bias is None else r.emit("aten.add.Tensor", shift, bias)
    return affine(r, x, scale, shift)


def training(r: Rewriter, what: str) -> CompileError:
    return CompileError(
        f"{what} in training form ({r.node.op} at {r.node.source}): export the module in eval mode"
    )


def _refused_batch_norm(r: Rewriter, *_: Any, **__: Any) -> Ref:
    raise training(r, "batch norm")


def affine(r: Rewriter, x: Ref, scale: Ref | None, shift: Ref | None) -> Ref:
    """Each channel (axis 1) scaled and shifted by [C] weights."""
    channels = [-1, *(1,) * (len(r.shape(x)) - 2)]
    if scale is not None:
        x = r.emit("aten.mul.Tensor", x, r.emit("aten.view.default", scale, channels))
    if shift is not None:
        x = r.emit("aten.add.Tensor", x, r.emit("aten.view.default", shift, channels))
    return x


def _instance_norm(r: Rewriter, x: Ref, weight: Any, bias: Any, mean: Any, var: Any,
                   use_input_stats: bool, momentum: float, eps: float, _: bool) -> Ref:  # fmt: skip
    """One group for each channel, or, by running statistics, a batch norm."""
    if use_input_stats:
        groups = r.shape(x)[1]
        return r.emit("aten.group_norm.default", x, groups, weight, bias, eps)
    return r.emit(
        "aten.batch_norm.default", x, weight, bias, mean, var, False, momentum, eps, False
    )


def _group_norm(r: Rewriter, x: Ref, groups: int, weight: Ref | None = None,
                bias: Ref | None = None, eps: float = 1e-5, *_: Any) -> Ref:  # fmt: skip
    channels, rest = r.shape(x)[1], r.shape(x)[2:]
    split = r.emit("aten.unflatten.int", x, 1, [groups, channels // groups])
    normed = r.emit("aten.layer_norm.default", split, [channels // groups, *rest], None, None, eps)
    return affine(r, r.emit("aten.flatten.using_ints", normed, 1, 2), weight, bias)


def _spread(r: Rewriter, x: Ref, dim: Any = None, unbiased: bool = True, keepdim: bool = False, *,
            correction: float | None = None) -> tuple[Ref, Ref]:  # fmt: skip
    """Variance and mean over `dim`: the sum of squares over the count less the correction."""
    if not isinstance(unbiased, bool):
        raise ValueError("a correction in the place of a truth value")
    rank = len(r.shape(x))
    axes = [d % rank for d in (range(rank) if dim in (None, []) else _list(dim))]
    less = float(unbiased) if correction is None else float(correction)
    count = prod(r.shape(x)[d] for d in axes)
    whole = r.emit("aten.mean.dim", x, axes, True)
    square = r.emit("aten.square.default", r.emit("aten.sub.Tensor", x, whole))
    variance = r.emit("aten.mean.dim", square, axes, keepdim)
    scaled = r.emit("aten.mul.Tensor", variance, count / (count - less)) if less else variance
    return scaled, whole if keepdim else r.emit("aten.mean.dim", x, axes, False)


def _var(r: Rewriter, *args: Any, **kwargs: Any) -> Ref:
    return _spread(r, *args, **kwargs)[0]


def _std(r: Rewriter, *args: Any, **kwargs: Any) -> Ref:
    return r.emit("aten.sqrt.default", _spread(r, *args, **kwargs)[0])


def _std_mean(r: Rewriter, *args: Any, **kwargs: Any) -> tuple[Ref, Ref]:
    variance, mean = _spread(r, *args, **kwargs)
    return r.emit("aten.sqrt.default", variance), mean


def _length(r: Rewriter, x: Ref, order: float | None = 2, dim: Any = None, keepdim: bool = False,
            **_: Any) -> Ref:  # fmt: skip
    """The norm along `dim`: of order 1, 2 or infinity."""
    axes = list(range(len(r.shape(x)))) if dim in (None, []) else _list(dim)
    if order in (2, None):
        squares = r.emit("aten.square.default", x)
        return r.emit("aten.sqrt.default", r.emit("aten.sum.dim_IntList", squares, axes, keepdim))
    sizes = r.emit("aten.abs.default", x)
    if order == 1:
        return r.emit("aten.sum.dim_IntList", sizes, axes, keepdim)
    if order == inf:
        return r.emit("aten.amax.default", sizes, axes, keepdim)
    raise ValueError("a norm of another order")


def _extreme(op: str, of_two: str) -> Rewriting:
    def extreme(r: Rewriter, x: Ref, *how: Any) -> Ref | tuple[Ref, ...]:
        """Of two values, or along an axis: there the first result, without the places."""
        if how and isinstance(how[0], Ref):
            return r.emit(of_two, x, how[0])
        if not how:
            return r.emit(op, x, list(range(len(r.shape(x)))))
        return (r.emit(op, x, [how[0]], *how[1:]),)

    return extreme


def _list(dim: int | Sequence[int]) -> list[int]:
    return [dim] if isinstance(dim, int) else list(dim)


NORMS: dict[str, Rewriting] = {
    "aten.batch_norm": _batch_norm,
    "aten._native_batch_norm_legit_no_training": _batch_norm,
    "aten.native_batch_norm": _batch_norm,
    "aten._native_batch_norm_legit": _refused_batch_norm,
    "aten._native_batch_norm_legit_functional": _refused_batch_norm,
    "aten._batch_norm_with_update_functional": _refused_batch_norm,
    "aten.instance_norm": _instance_norm,
    "aten.std": _std,
    "aten.var_mean": _spread,
    "aten.std_mean": _std_mean,
    "aten.linalg_vector_norm": _length,
    "aten.norm": _length,
    "aten.max": _extreme("aten.amax.default", "aten.maximum.default"),
    "aten.min": _extreme("aten.amin.default", "aten.minimum.default"),
}
# What the rules by elements compute as it stands.
NORMS_ON_THE_LATTICE: dict[str, Rewriting] = {
    "aten.group_norm": _group_norm,
    "aten.var": _var,
}
