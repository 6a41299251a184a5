"""Operators that reduce axes, and those that normalise over them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ancestral.runtimes.onnx.writer import Args, Writer, rule


def _axes(w: Writer, a: Args) -> list[int]:
    rank, dims = w.rank(a["self"]), a.get("dim")
    dims = range(rank) if dims is None else [dims] if isinstance(dims, int) else dims
    return [d % rank for d in (dims if len(dims) else range(rank))]


def _reduced(w: Writer, kind: str, x: str, axes: list[int], keep: bool) -> str:
    return str(w.op(kind, x, w.axes(*axes), keepdims=int(keep)))


_KINDS = {"sum": "ReduceSum", "mean": "ReduceMean", "amax": "ReduceMax", "amin": "ReduceMin",
          "prod": "ReduceProd"}  # fmt: skip


@rule(*_KINDS)
def reduction(w: Writer, a: Args) -> Any:
    kind = _KINDS[a["op"].split(".")[1]]
    x = w.tensor(a["self"], w.result.dtype)
    return _reduced(w, kind, x, _axes(w, a), a.get("keepdim", False))


@rule("any", "all")
def any_all(w: Writer, a: Args) -> Any:
    kind = "ReduceMax" if a["op"].startswith("aten.any") else "ReduceMin"
    x = w.cast(w.tensor(a["self"], torch.bool), torch.int64)
    return w.cast(_reduced(w, kind, x, _axes(w, a), a.get("keepdim", False)), torch.bool)


@rule("logsumexp")
def logsumexp(w: Writer, a: Args) -> Any:
    """With the largest taken out, as torch does."""
    x, axes = w.tensor(a["self"], w.result.dtype), _axes(w, a)
    top = _reduced(w, "ReduceMax", x, axes, True)
    total = _reduced(w, "ReduceSum", w.op("Exp", w.op("Sub", x, top)), axes, True)
    found = w.op("Add", w.op("Log", total), top)
    return found if a["keepdim"] else w.op("Squeeze", found, w.axes(*axes))


@rule("argmax")
def argmax(w: Writer, a: Args) -> Any:
    if a["dim"] is None:
        raise NotImplementedError("over all axes")
    (axis,) = _axes(w, a)
    return w.op("ArgMax", w.tensor(a["self"]), axis=axis, keepdims=int(a["keepdim"]))


@rule("softmax", "_softmax", "log_softmax", "_log_softmax")
def softmax(w: Writer, a: Args) -> Any:
    kind = "LogSoftmax" if "log" in a["op"] else "Softmax"
    return w.op(kind, w.tensor(a["self"], w.result.dtype), axis=a["dim"] % w.rank(a["self"]))


@rule("cumsum")
def cumsum(w: Writer, a: Args) -> Any:
    axis = w.constant(np.int64(a["dim"] % w.rank(a["self"])))
    return w.op("CumSum", w.tensor(a["self"], w.result.dtype), axis)


@rule("layer_norm")
def layer_norm(w: Writer, a: Args) -> Any:
    shape, dtype = list(a["normalized_shape"]), w.result.dtype
    scale = w.constant(torch.ones(shape, dtype=dtype)) if a["weight"] is None else w.tensor(
        a["weight"]
    )  # fmt: skip
    bias = [] if a["bias"] is None else [w.tensor(a["bias"])]
    return w.op(
        "LayerNormalization", w.tensor(a["input"]), scale, *bias,
        axis=-len(shape), epsilon=float(a["eps"]),
    )  # fmt: skip


@rule("rms_norm")
def rms_norm(w: Writer, a: Args) -> Any:
    x, dtype = w.tensor(a["input"]), w.result.dtype
    eps = torch.finfo(dtype).eps if a["eps"] is None else a["eps"]
    rank, count = w.rank(a["input"]), len(a["normalized_shape"])
    mean = _reduced(w, "ReduceMean", w.op("Mul", x, x), list(range(rank - count, rank)), True)
    found = w.op("Div", x, w.op("Sqrt", w.op("Add", mean, w.tensor(eps, dtype))))
    return found if a["weight"] is None else w.op("Mul", found, w.tensor(a["weight"]))
