"""The arithmetic of each kind of step, in torch, on operands of shape [..., payload].

The leading axes are slots, or slots and columns where a whole row is computed at once; keyed
operands are [slots, heads, keys].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ancestral.compile.elements import ElementStep
from ancestral.compile.graph import operator_of
from ancestral.compile.place import Ints
from ancestral.compile.step import Step
from ancestral.runtimes import cells

Kernel = Callable[..., Tensor]
Weights = Mapping[str, Tensor]
Op = Step | ElementStep  # a step of either kind of program


def kernel(
    step: Op,
    weights: Weights,
    dtype: torch.dtype,
    elements: Ints | None = None,
) -> Kernel:
    """The function from operand tensors to the step's result, or to its `elements` alone.

    Elementwise operands are expected already reduced to those elements; the others whole.
    """
    return BUILDERS[step.kind](step, weights, dtype, elements)


def split(x: Tensor, *sizes: int) -> Tensor:
    """The last axis as several."""
    return x.reshape(*x.shape[:-1], *sizes)


def _pointwise(step: Op, weights: Weights, dtype: torch.dtype, elements: Ints | None) -> Kernel:
    name = step.op.split(".")[1]
    # torch's own bindings dispatch in half the time of the overload objects
    direct = {"tanh", "sigmoid", "relu", "add", "sub", "mul", "exp", "maximum", "minimum"}
    function = getattr(torch, name) if name in direct else operator_of(step.op)
    kwargs = {k: _cast(v, dtype) for k, v in step.attrs["kwargs"].items()}
    if not kwargs:
        return function
    return lambda *operands: function(*operands, **kwargs)


def _device(weights: Weights) -> torch.device:
    """Where the weights lie, and operands with them."""
    return next((tensor.device for tensor in weights.values()), torch.device("cpu"))


def _cast(value: Any, dtype: torch.dtype) -> Any:
    return dtype if isinstance(value, torch.dtype) and value.is_floating_point else value


def _copy(step: Op, weights: Weights, dtype: torch.dtype, elements: Ints | None) -> Kernel:
    return lambda x: x


def _cat(step: Op, weights: Weights, dtype: torch.dtype, elements: Ints | None) -> Kernel:
    order = step.attrs["order"] if elements is None else step.attrs["order"][elements]
    in_order = order.size == step.payload and bool((order[:-1] < order[1:]).all())
    index = torch.from_numpy(order).to(_device(weights))

    def join(*parts: Tensor) -> Tensor:
        lead = max((p.shape[:-1] for p in parts), key=len)
        whole = torch.cat([p.expand(*lead, p.shape[-1]) for p in parts], -1)
        return whole if in_order else whole.index_select(-1, index)

    return join


def _embedding(step: Op, weights: Weights, dtype: torch.dtype, elements: Ints | None) -> Kernel:
    table = weights[step.operands[1].name]
    return lambda codes: F.embedding(codes.long(), table).flatten(-2)


def _one_hot(step: Op, weights: Weights, dtype: torch.dtype, elements: Ints | None) -> Kernel:
    classes = step.attrs["width"]
    return lambda codes: F.one_hot(codes.long(), classes).flatten(-2)


def _linear(step: Op, weights: Weights, dtype: torch.dtype, elements: Ints | None) -> Kernel:
    matrix = weights[step.attrs["weight"]]
    matrix = matrix.T if step.attrs["transposed"] else matrix
    bias = None if step.attrs["bias"] is None else weights[step.attrs["bias"]]
    outer = step.attrs["outer"]
    if elements is not None:
        rows = torch.from_numpy(elements).to(_device(weights))
        matrix, bias = matrix[rows], None if bias is None else bias[rows]
    matrix = matrix.contiguous()
    if outer == 1:
        return lambda x: F.linear(x, matrix, bias)
    return lambda x: F.linear(split(x, outer, -1), matrix, bias).flatten(-2)


def _site_linear(step: Op, weights: Weights, dtype: torch.dtype, elements: Ints | None) -> Kernel:
    """A product with a matrix of the site's own, [..., blocks · in · out]."""
    blocks, rows, size, out = (step.attrs[k] for k in ("blocks", "rows", "width", "outer"))

    def product(x: Tensor, table: Tensor) -> Tensor:
        matrix = split(table, blocks, size, out)
        if blocks == rows == 1 and matrix.dim() == 3:
            return x @ matrix[0]
        return (split(x, blocks, rows, size) @ matrix).flatten(-3)

    return product


def _site_product(step: Op, weights: Weights, dtype: torch.dtype, elements: Ints | None) -> Kernel:
    """A product of two computed values of the site."""
    blocks, rows, size, out = (step.attrs[k] for k in ("blocks", "rows", "width", "outer"))
    return lambda a, b: (split(a, blocks, rows, size) @ split(b, blocks, size, out)).flatten(-3)


def _conv(step: Op, weights: Weights, dtype: torch.dtype, elements: Ints | None) -> Kernel:
    weight = weights[step.attrs["weight"]]
    taps, groups = step.attrs["taps"], step.attrs["groups"]
    blocks = [weight[(slice(None), slice(None), *tap)] for tap in taps]  # [out, in / groups]
    bias = None if step.attrs["bias"] is None else weights[step.attrs["bias"]]
    rows = None if elements is None else torch.from_numpy(elements).to(_device(weights))
    if groups > 1:
        stacked = torch.stack(blocks)
        stacked = stacked.reshape(
            len(taps), groups, -1, stacked.shape[-1]
        )  # [taps, groups, out, in]

        def grouped(x: Tensor) -> Tensor:
            parts = split(x, len(taps), groups, -1)
            y = torch.einsum("...tgi,tgoi->...go", parts, stacked).flatten(-2)
            y = y if bias is None else y + bias
            return y if rows is None else y.index_select(-1, rows)

        return grouped
    matrix = torch.cat(blocks, 1)  # [out, taps · in]
    if rows is not None:
        matrix, bias = matrix[rows], None if bias is None else bias[rows]
    matrix = matrix.contiguous()
    return lambda x: F.linear(x, matrix, bias)


def _layer_norm(step: Op, weights: Weights, dtype: torch.dtype, elements: Ints | None) -> Kernel:
    inner, eps = step.attrs["inner"], step.attrs["eps"]
    scale, bias = (
        None if name is None else weights[name].flatten() for name in step.attrs["weights"]
    )
    if inner == step.payload:
        return lambda x: F.layer_norm(x, (inner,), scale, bias, eps)
    return lambda x: F.layer_norm(split(x, -1, inner), (inner,), scale, bias, eps).flatten(-2)


def _rms_norm(step: Op, weights: Weights, dtype: torch.dtype, elements: Ints | None) -> Kernel:
    inner, eps, (name,) = step.attrs["inner"], step.attrs["eps"], step.attrs["weights"]
    scale = None if name is None else weights[name].flatten()
    if inner == step.payload:
        return lambda x: F.rms_norm(x, (inner,), scale, eps)
    return lambda x: F.rms_norm(split(x, -1, inner), (inner,), scale, eps).flatten(-2)


def _reduction(step: Op, weights: Weights, dtype: torch.dtype, elements: Ints | None) -> Kernel:
    shape, axes = step.attrs["shape"], step.attrs["axes"]
    back = [a - len(shape) for a in axes]
    functions: dict[str, Callable[[Tensor], Tensor]] = {
        "softmax": lambda x: F.softmax(x, back[0]),
        "log-softmax": lambda x: F.log_softmax(x, back[0]),
        "sum": lambda x: x.sum(back),
        "mean": lambda x: x.mean(back),
        "amax": lambda x: x.amax(back),
        "amin": lambda x: x.amin(back),
        "logsumexp": lambda x: x.logsumexp(back),
        "prod": lambda x: x.prod(back[0]),
    }
    function = functions[step.kind]

    def reduce(x: Tensor) -> Tensor:
        lead = x.shape[:-1]
        return function(x.reshape(*lead, *shape)).reshape(*lead, -1)

    return reduce


def _cumsum(step: Op, weights: Weights, dtype: torch.dtype, elements: Ints | None) -> Kernel:
    shape, back = step.attrs["shape"], step.attrs["axis"] - len(step.attrs["shape"])
    return lambda x: split(x, *shape).cumsum(back).reshape(x.shape)


def _softmax_keys(step: Op, weights: Weights, dtype: torch.dtype, _: Ints | None) -> Kernel:
    return lambda x: F.softmax(x, -1)


BUILDERS: dict[str, Callable[[Op, Weights, torch.dtype, Ints | None], Kernel]] = {
    "pointwise": _pointwise,
    "copy": _copy,
    "cat": _cat,
    "embedding": _embedding,
    "one-hot": _one_hot,
    "linear": _linear,
    "site-linear": _site_linear,
    "site-product": _site_product,
    "conv": _conv,
    "layer-norm": _layer_norm,
    "rms-norm": _rms_norm,
    "softmax-keys": _softmax_keys,
    "cumsum": _cumsum,
    "lstm": cells.lstm,
    "gru": cells.gru,
    "rnn": cells.rnn,
    "running-sum": cells.running_sum,
    **dict.fromkeys(
        ("softmax", "log-softmax", "sum", "mean", "amax", "amin", "logsumexp", "prod"), _reduction
    ),
}
