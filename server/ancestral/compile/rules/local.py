"""Operators over the payload of one site: embeddings, normalisation, sums over channels."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ancestral.compile.place import Atom, Fixed, Ints, View, has, payload_shape
from ancestral.compile.tracer import Tracer, rule


@rule("aten.embedding")
def embedding(t: Tracer, weight: Fixed, codes: View, *_: Any) -> View:
    width = int(weight.tensor.shape[1])
    dims = (*codes.dims, (Atom("payload", width),) if width != 1 else ())
    ready = np.repeat(codes.ready, width)
    return t.value(
        "embedding", dims, codes.space, codes.extent, [t.take(codes), weight], ready, width=width
    )


@rule("aten.one_hot")
def one_hot(t: Tracer, codes: View, classes: int = -1) -> View:
    dims = (*codes.dims, (Atom("payload", classes),))
    ready = np.repeat(codes.ready, classes)
    return t.value(
        "one-hot", dims, codes.space, codes.extent, [t.take(codes)], ready, width=classes
    )


@rule("aten.layer_norm")
def layer_norm(t: Tracer, x: View, shape: Sequence[int], weight: Fixed | None = None,
               bias: Fixed | None = None, eps: float = 1e-5, *_: Any) -> View:  # fmt: skip
    axes = list(range(len(x.dims) - len(shape), len(x.dims)))
    return _whole(t, x, axes, "layer-norm", [weight, bias], keep=True, eps=eps)


@rule("aten.rms_norm")
def rms_norm(t: Tracer, x: View, shape: Sequence[int], weight: Fixed | None = None,
             eps: float | None = None) -> View:  # fmt: skip
    axes = list(range(len(x.dims) - len(shape), len(x.dims)))
    return _whole(t, x, axes, "rms-norm", [weight], keep=True, eps=eps)


@rule("aten.native_layer_norm")
def native_layer_norm(t: Tracer, x: View, shape: Sequence[int], weight: Fixed | None,
                      bias: Fixed | None, eps: float) -> tuple[View]:  # fmt: skip
    return (layer_norm(t, x, shape, weight, bias, eps),)


@rule("aten.softmax", "aten._softmax", "aten.log_softmax", "aten._log_softmax")
def softmax(t: Tracer, x: View, dim: int, *_: Any, **__: Any) -> View:
    dim %= len(x.dims)
    if has(x.dims[dim], "key"):
        from ancestral.compile.rules.attention import softmax_over_keys

        return softmax_over_keys(t, x)
    kind = "log-softmax" if "log" in t.node.packet else "softmax"
    return _whole(t, x, [dim], kind, [], keep=True)


@rule("aten.sum", "aten.mean", "aten.amax", "aten.amin", "aten.logsumexp", "aten.prod")
def reduce(t: Tracer, x: View, dim: Any = None, keepdim: bool = False, **_: Any) -> View:
    if dim is None or dim == []:
        dim = list(range(len(x.dims)))
    axes = [d % len(x.dims) for d in ([dim] if isinstance(dim, int) else dim)]
    return _whole(t, x, axes, t.node.packet.removeprefix("aten."), [], keep=False, keepdim=keepdim)


def _whole(t: Tracer, x: View, axes: list[int], kind: str, weights: list[Fixed | None],
           *, keep: bool, keepdim: bool = True, **attrs: Any) -> View:  # fmt: skip
    """An operator that mixes the payload along `axes`; every element reads all along them."""
    if any(has(x.dims[d], "batch") for d in axes):
        raise t.unsupported("a reduction over the batch")
    if any(has(x.dims[d], "key") for d in axes):
        raise t.unsupported("a reduction over keys other than softmax")
    shape = payload_shape(x.dims)
    if any(has(x.dims[d], "row", "col", "flat") for d in axes):
        ready: Ints = t.leak(x).reshape(shape)
    else:
        ready = x.ready.reshape(shape)
    latest = ready.max(axis=tuple(axes), keepdims=True)
    dims = list(x.dims)
    if keep:
        latest = np.broadcast_to(latest, shape)
    else:
        for d in axes:
            dims[d] = ()
        if not keepdim:
            dims = [dim for d, dim in enumerate(dims) if d not in axes]
    return t.value(
        kind, tuple(dims), x.space, x.extent, [t.take(x)], latest.ravel(),
        shape=shape, axes=tuple(axes), inner=prod(shape[d] for d in axes),
        weights=[None if w is None else w.name for w in weights], **attrs,
    )  # fmt: skip
