"""Elementwise operators: the same operator on the payload of one site."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ancestral.compile.graph import operator_of
from ancestral.compile.place import Fixed, Table, View, payload_shape
from ancestral.compile.tracer import Tracer, rule

_ARITHMETIC = (
    "add", "sub", "rsub", "mul", "div", "neg", "pow", "square", "reciprocal", "abs", "sign",
    "sqrt", "rsqrt", "exp", "expm1", "log", "log1p", "sin", "cos", "atan", "erf", "floor",
    "ceil", "round", "clamp", "clamp_min", "clamp_max", "maximum", "minimum", "trunc", "frac",
    "fmod", "remainder", "exp2", "log2", "log10", "logaddexp", "logit", "erfc", "tan", "asin",
    "acos", "atan2", "sinh", "cosh", "asinh", "acosh", "atanh", "hypot", "sgn", "nan_to_num",
    "copysign", "erfinv", "heaviside", "deg2rad", "rad2deg", "sinc", "xlogy", "logaddexp2",
    "special_ndtr", "special_erf", "ldexp",
)  # fmt: skip
_ACTIVATIONS = (
    "tanh", "sigmoid", "relu", "relu6", "elu", "gelu", "silu", "mish", "selu", "celu",
    "leaky_relu", "softplus", "softsign", "hardtanh", "hardsigmoid", "hardswish", "log_sigmoid",
    "threshold", "hardshrink", "softshrink",
)  # fmt: skip
_LOGIC = (
    "where", "masked_fill", "eq", "ne", "lt", "le", "gt", "ge", "bitwise_not", "bitwise_and",
    "bitwise_or", "bitwise_xor", "logical_not", "logical_and", "logical_or", "logical_xor",
    "isnan", "isinf", "isfinite", "signbit",
)  # fmt: skip
ELEMENTWISE = (*_ARITHMETIC, *_ACTIVATIONS, *_LOGIC)
_CASTS = ("to", "_to_copy", "type_as", "float")

# Scores at or below this are masked: exp(score − max) vanishes in every precision.
MASKED = -1e4


@rule(*(f"aten.{name}" for name in (*ELEMENTWISE, *_CASTS)))
def pointwise(t: Tracer, *args: Any, **kwargs: Any) -> View:
    views = t.same_space([a for a in args if isinstance(a, View)])
    remaining = iter(views)
    args = tuple(next(remaining) if isinstance(a, View) else a for a in args)
    dims = t.align(t.shape, views)
    keyed = [v for v in views if v.keyed]
    operands: list[Any] = []
    ready = t.never(1)
    for arg in args:
        if isinstance(arg, View):
            index = np.arange(arg.pmap.size).reshape(
                (1,) * (len(dims) - len(arg.dims)) + payload_shape(arg.dims)
            )
            index = np.broadcast_to(index, payload_shape(dims)).ravel()
            operands.append(t.take(arg, index))
            ready = np.maximum(ready, arg.ready[index])
        elif isinstance(arg, Fixed):
            operands.append(_scalar(arg) if arg.tensor.numel() == 1 and not arg.item
                            else t.table(arg, dims))  # fmt: skip
        else:
            operands.append(arg)
    extent = (max(v.extent[0] for v in views), max(v.extent[1] for v in views))
    out = t.value(
        "pointwise", dims, views[0].space, extent, operands, ready,
        kwargs={k: v for k, v in kwargs.items() if k not in ("pin_memory", "layout", "device")},
    )  # fmt: skip
    if not keyed:
        return out
    out.value.keyed = True
    out.value.key_ready = max(v.value.key_ready for v in keyed)
    out.value.key_steps = [step for v in keyed for step in v.value.key_steps]
    return View(
        out.value, out.dims, out.extent, out.shift, out.valid, out.pmap, _known(t, args, operands)
    )


def _scalar(fixed: Fixed) -> float | int | bool:
    return fixed.tensor.flatten()[0].item()


def _known(t: Tracer, args: tuple[Any, ...], operands: list[Any]) -> npt.NDArray[np.float64]:
    """What is known in advance of an attention matrix after this operator; nan where nothing is.

    Constants such as −inf and 0 are what says that a key is not read.
    """
    name = t.node.packet.removeprefix("aten.")
    size = t.attention_size
    values: list[Any] = []
    for arg, operand in zip(args, operands, strict=True):
        if isinstance(arg, View):
            blank = np.full(size, np.nan)
            values.append(torch.from_numpy(blank if arg.known is None else arg.known))
        elif isinstance(operand, Table):
            values.append(_matrix(arg, operand, size))
        else:
            values.append(arg if not isinstance(arg, Fixed) else arg.tensor)
    if name in ("add", "sub", "mul"):
        a, b = (v if isinstance(v, torch.Tensor) else torch.tensor(float(v)) for v in values[:2])
        a, b = a.double(), b.double()
        result = operator_of(t.node.op)(a, b)
        if name == "mul":
            result = torch.where((a == 0) | (b == 0), 0.0, result)
        else:
            b = -b if name == "sub" else b
            result = torch.where(b <= MASKED, b, result)
            result = torch.where(a <= MASKED, a, result)
    else:
        kwargs = {k: v for k, v in t.node.kwargs.items() if k not in ("dtype", "device")}
        cast = name in _CASTS
        result = values[0] if cast else operator_of(t.node.op)(*values, **kwargs)
    return np.asarray(result.double().expand(size).contiguous(), dtype=np.float64)


def _matrix(fixed: Fixed, table: Table, size: tuple[int, int]) -> torch.Tensor:
    """A constant over (queries, keys); where heads differ, nothing is known."""
    tensor = fixed.tensor
    lead = [i for i, axis in enumerate(table.axes) if axis in ("payload", "one", "batch")]
    rest = [i for i, axis in enumerate(table.axes) if axis not in ("payload", "one", "batch")]
    axes = [table.axes[i] for i in rest]
    stacked = tensor.permute(*lead, *rest).reshape(-1, *[tensor.shape[i] for i in rest])
    first = stacked[0]
    if "key" not in axes:
        first = first[:, None] if axes else first
    elif len(axes) == 1:
        first = first[None, :]
    if fixed.item:
        return torch.full(size, torch.nan, dtype=torch.float64)
    same = (stacked == stacked[:1]).all(0).reshape(first.shape)
    if first.dtype == torch.bool:
        if not bool(same.all()):
            raise ValueError("boolean masks that differ between heads")
        return first.expand(size)
    return torch.where(same, first.double(), torch.nan).expand(size)
