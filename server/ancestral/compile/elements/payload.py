"""Operators over rows: embeddings, normalisation, softmax and other reductions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ancestral.compile.elements.arena import MASKED, Ints
from ancestral.compile.elements.pointwise import compact
from ancestral.compile.elements.program import Weight
from ancestral.compile.elements.tracer import Tracer, View, rule
from ancestral.compile.place import Fixed


@rule("aten.embedding")
def embedding(t: Tracer, weight: Fixed, codes: View, *_: Any) -> View:
    return _looked_up(t, "embedding", codes, int(weight.tensor.shape[1]), [Weight(weight.name)])


@rule("aten.one_hot")
def one_hot(t: Tracer, codes: View, classes: int = -1) -> View:
    return _looked_up(t, "one-hot", codes, classes, [])


def _looked_up(t: Tracer, kind: str, codes: View, width: int, rest: list[Any]) -> View:
    all_sites = (True,) * len(codes.shape)
    ready = t.ready(codes, all_sites)
    return t.value(
        kind, (*codes.shape, width), (*all_sites, False), [t.rows(codes, all_sites), *rest],
        ready, width=width,
    )  # fmt: skip


@rule("aten.layer_norm", "aten.rms_norm")
def layer_norm(t: Tracer, x: View, shape: Sequence[int], weight: Any = None, bias: Any = None,
               eps: float | None = 1e-5, *_: Any) -> View:  # fmt: skip
    rank = len(x.shape)
    mean = t.node.packet == "aten.layer_norm"
    if not mean:
        bias, eps = None, bias if not isinstance(bias, Fixed) else eps
    sites = tuple(d < rank - len(shape) for d in range(rank))
    ready = t.ready(x, sites).max(1, keepdims=True)
    return t.value(
        "layer-norm" if mean else "rms-norm", x.shape, sites, [t.rows(x, sites)], ready,
        inner=int(np.prod(shape)), eps=eps,
        weights=[None if w is None else w.name for w in (weight, bias)],
    )  # fmt: skip


@rule("aten.native_layer_norm")
def native_layer_norm(t: Tracer, x: View, shape: Sequence[int], weight: Any, bias: Any,
                      eps: float) -> tuple[View]:  # fmt: skip
    rank = len(x.shape)
    sites = tuple(d < rank - len(shape) for d in range(rank))
    ready = t.ready(x, sites).max(1, keepdims=True)
    out = t.value(
        "layer-norm", x.shape, sites, [t.rows(x, sites)], ready, inner=int(np.prod(shape)),
        eps=eps, weights=[None if w is None else w.name for w in (weight, bias)],
    )  # fmt: skip
    return (out,)


@rule("aten.softmax", "aten._softmax", "aten.log_softmax", "aten._log_softmax")
def softmax(t: Tracer, x: View, dim: int, *_: Any, **__: Any) -> View:
    """Along one dimension; what is masked there becomes zero and is not read."""
    dim %= len(x.shape)
    sites = tuple(d != dim for d in range(len(x.shape)))
    log = "log" in t.node.packet
    ready = t.ready(x, sites).max(1, keepdims=True)
    known = t.arena.known[x.at]
    masked = known <= MASKED
    full = masked.all(axis=dim)
    if full.any() and not np.isneginf(known[masked.all(axis=dim, keepdims=True) & masked]).all():
        raise t.unsupported("a row of scores that a finite mask covers as a whole")
    rows = t.rows(x, sites)
    out = t.value("log-softmax" if log else "softmax", x.shape, sites, [rows], ready,
                  shape=(x.shape[dim],), axes=(0,))  # fmt: skip
    if log or not masked.any():
        return out
    return t.view(np.where(masked & ~np.expand_dims(full, dim), 0, out.at), out.kind)


@rule("aten.sum", "aten.mean", "aten.amax", "aten.amin", "aten.logsumexp", "aten.prod",
      "aten.var", "aten.any", "aten.all")  # fmt: skip
def reduce(t: Tracer, x: View, dim: Any = None, *_: Any, **options: Any) -> View:
    rank = len(x.shape)
    if dim is None or dim == []:
        dim = list(range(rank))
    axes = sorted(d % rank for d in ([dim] if isinstance(dim, int) else dim))
    sites = tuple(d not in axes for d in range(rank))
    ready = t.ready(x, sites).max(1, keepdims=True)
    kind = t.node.packet.removeprefix("aten.")
    attrs: dict[str, Any] = {"shape": (int(np.prod([x.shape[d] for d in axes])),), "axes": (0,)}
    if kind == "var":
        correction = options.get("correction", 1 if not _ else int(bool(_[0])))
        attrs["correction"] = 1 if correction is None else correction
    return t.value(kind, t.shape, (True,) * len(t.shape), [t.rows(x, sites)], ready, **attrs)


@rule("aten.group_norm", "aten.native_group_norm")
def group_norm(t: Tracer, x: View, *args: Any) -> Any:
    """Over the channels of a group and all that follows, positions too where there are any."""
    native = t.node.packet == "aten.native_group_norm"
    if native:
        weight, bias, _, _, _, groups, eps = args
    else:
        groups = args[0]
        weight, bias, eps = (*args[1:4], None, None, 1e-5)[:3] if len(args) < 4 else args[1:4]
    lead, channels, rest = x.shape[0], x.shape[1], x.shape[2:]
    split = x.at.reshape(lead, groups, channels // groups, *rest)
    grouped = View(split, (True, True, *(False,) * (1 + len(rest))))
    ready = t.ready(grouped, grouped.sites).max(1, keepdims=True)
    per = int(np.prod(rest, dtype=np.int64))
    shown, start = t.block(split.shape, grouped.sites, ready)
    for g in range(groups):
        members = np.arange(g, lead * groups, groups)
        own = t.rows(grouped, grouped.sites)
        operand = type(own)(own.base[members], own.off)
        of_group = slice(g * channels // groups, (g + 1) * channels // groups)
        t.step(
            shown, start, "group-norm", members, [operand], ready[members], 0,
            {"channels": of_group, "per": per, "eps": eps, "split": split.shape,
             "weights": [None if w is None else w.name for w in (weight, bias)]},
        )  # fmt: skip
    out = View(shown.at.reshape(x.shape), (True,) * len(x.shape))
    out = t.view(out.at, "float")
    return (out,) if native else out


def column_classes(ready: Ints) -> list[tuple[Ints, Ints]]:
    """Columns that agree in every row, as (columns, their times [rows])."""
    ready = compact(ready)
    if ready.shape[1] == 1:
        return [(np.arange(1), ready[:, 0])]
    _, first, inverse = np.unique(ready, axis=1, return_index=True, return_inverse=True)
    inverse = inverse.reshape(-1)
    return [(np.flatnonzero(inverse == k), ready[:, first[k]]) for k in range(len(first))]
