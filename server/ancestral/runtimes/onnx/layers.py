"""Products, convolutions, attention and recurrent layers."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ancestral.compile.graph import Ref
from ancestral.runtimes.onnx.shapes import cut
from ancestral.runtimes.onnx.writer import Args, Writer, rule


@rule("linear")
def linear(w: Writer, a: Args) -> Any:
    x, bias = w.tensor(a["input"]), a["bias"]
    if w.rank(a["input"]) == 2:
        more = [] if bias is None else [w.tensor(bias)]
        return w.op("Gemm", x, w.tensor(a["weight"]), *more, transB=1)
    known = w.weight(a["weight"])
    if known is None:
        matrix = w.op("Transpose", w.tensor(a["weight"]), perm=[1, 0])
    else:
        matrix = w.constant(known.T)
    product = w.op("MatMul", x, matrix)
    return product if bias is None else w.op("Add", product, w.tensor(bias))


@rule("matmul", "bmm", "mm")
def matmul(w: Writer, a: Args) -> Any:
    return w.op("MatMul", w.tensor(a["self"]), w.tensor(a.get("other", a.get("mat2"))))


@rule("addmm")
def addmm(w: Writer, a: Args) -> Any:
    operands = (w.tensor(a["mat1"]), w.tensor(a["mat2"]), w.tensor(a["self"]))
    return w.op("Gemm", *operands, alpha=float(a["alpha"]), beta=float(a["beta"]))


@rule("einsum")
def einsum(w: Writer, a: Args) -> Any:
    """ONNX has no upper-case letters beside an ellipsis, and needs none here."""
    return w.op("Einsum", *(w.tensor(t) for t in a["tensors"]), equation=a["equation"])


@rule("conv1d", "conv2d", "conv3d")
def conv(w: Writer, a: Args) -> Any:
    if isinstance(a["padding"], str):
        raise NotImplementedError(f"padding {a['padding']}")
    axes = w.rank(a["input"]) - 2
    padding = _each(a["padding"], axes)
    bias = [] if a["bias"] is None else [w.tensor(a["bias"])]
    return w.op(
        "Conv", w.tensor(a["input"]), w.tensor(a["weight"]), *bias,
        strides=_each(a["stride"], axes), pads=padding + padding,
        dilations=_each(a["dilation"], axes), group=a["groups"],
    )  # fmt: skip


@rule("conv_transpose1d", "conv_transpose2d")
def conv_transpose(w: Writer, a: Args) -> Any:
    axes = w.rank(a["input"]) - 2
    padding = _each(a["padding"], axes)
    bias = [] if a["bias"] is None else [w.tensor(a["bias"])]
    return w.op(
        "ConvTranspose", w.tensor(a["input"]), w.tensor(a["weight"]), *bias,
        strides=_each(a["stride"], axes), pads=padding + padding,
        output_padding=_each(a["output_padding"], axes),
        dilations=_each(a["dilation"], axes), group=a["groups"],
    )  # fmt: skip


def _each(value: Any, axes: int) -> list[int]:
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    return values * axes if len(values) == 1 else values


@rule("im2col")
def im2col(w: Writer, a: Args) -> Any:
    """The windows of an image: [batch, channels · taps, places]."""
    (high, wide), (pad_h, pad_w) = a["kernel_size"], a["padding"]
    (gap_h, gap_w), (step_h, step_w) = a["dilation"], a["stride"]
    _, channels, height, width = w.example(a["self"]).shape
    rows = (height + 2 * pad_h - gap_h * (high - 1) - 1) // step_h + 1
    columns = (width + 2 * pad_w - gap_w * (wide - 1) - 1) // step_w + 1
    pads = w.axes(0, 0, pad_h, pad_w, 0, 0, pad_h, pad_w)
    x = w.op("Pad", w.tensor(a["self"]), pads, w.tensor(0, w.result.dtype))
    taps = []
    for i in range(high):
        band = cut(w, x, 2, i * gap_h, i * gap_h + (rows - 1) * step_h + 1, step_h)
        for j in range(wide):
            tap = cut(w, band, 3, j * gap_w, j * gap_w + (columns - 1) * step_w + 1, step_w)
            taps.append(w.unsqueezed(tap, 2))
    whole = w.op("Concat", *taps, axis=2)
    return w.op("Reshape", whole, w.axes(-1, channels * high * wide, rows * columns))


@rule("scaled_dot_product_attention")
def attention(w: Writer, a: Args) -> Any:
    if a["enable_gqa"] or a["dropout_p"]:
        raise NotImplementedError("with shared heads or dropout")
    dtype, rank = w.result.dtype, w.rank(a["key"])
    scale = 1 / math.sqrt(w.size(a["query"], -1)) if a["scale"] is None else a["scale"]
    query = w.op("Mul", w.tensor(a["query"]), w.tensor(scale, dtype))
    turned = [*range(rank - 2), rank - 1, rank - 2]
    scores = w.op("MatMul", query, w.op("Transpose", w.tensor(a["key"]), perm=turned))
    never = w.tensor(-math.inf, dtype)
    mask = a["attn_mask"]
    if a["is_causal"]:
        ones = w.op("Expand", w.tensor(1), w.op("Shape", scores, start=rank - 2))
        seen = w.cast(w.op("Trilu", ones, upper=0), torch.bool)
        scores = w.op("Where", seen, scores, never)
    elif mask is not None and w.dtype(mask) == torch.bool:
        scores = w.op("Where", w.tensor(mask), scores, never)
    elif mask is not None:
        scores = w.op("Add", scores, w.tensor(mask, dtype))
    return w.op("MatMul", w.op("Softmax", scores, axis=-1), w.tensor(a["value"]))


# ---------------------------------------------------------------------- recurrences

_ORDERS = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2)}  # torch's gates in the order of ONNX


@rule("lstm.input", "gru.input", "rnn_tanh.input", "rnn_relu.input")
def recurrent(w: Writer, a: Args) -> Any:
    """Layer after layer; only the outputs are written, the last states are not asked for."""
    kind = {"lstm": "LSTM", "gru": "GRU"}.get(a["op"].split(".")[1], "RNN")
    weights = [w.weight(p) for p in a["params"]]
    each = 4 if a["has_biases"] else 2
    directions = 2 if a["bidirectional"] else 1
    if any(p is None for p in weights) or len(weights) != each * a["num_layers"] * directions:
        raise NotImplementedError("projected, or with weights that are computed")
    x = w.tensor(a["input"])
    if a["batch_first"]:
        x = w.op("Transpose", x, perm=[1, 0, 2])
    states = a["hx"] if isinstance(a["hx"], (list, tuple)) else [a["hx"]]
    extra: dict[str, Any] = {}
    if kind == "GRU":
        extra["linear_before_reset"] = 1
    if "relu" in a["op"]:
        extra["activations"] = ["Relu"] * directions
    for layer in range(a["num_layers"]):
        own = [_gates(kind, weights, each, layer * directions + d) for d in range(directions)]
        matrices = [w.constant(torch.stack([o[i] for o in own])) for i in range(3)]
        first, last = layer * directions, (layer + 1) * directions
        initial = [cut(w, w.tensor(state), 0, first, last) for state in states]
        found = w.op(
            kind, x, *matrices, "", *initial, hidden_size=own[0][1].shape[-1],
            direction="bidirectional" if directions == 2 else "forward", **extra,
        )  # fmt: skip
        wide = directions * own[0][1].shape[-1]
        turned = w.op("Transpose", found, perm=[0, 2, 1, 3])  # [time, batch, directions, hidden]
        x = w.op("Reshape", turned, w.axes(0, 0, wide))
    if a["batch_first"]:
        x = w.op("Transpose", x, perm=[1, 0, 2])
    return [x]


def _gates(
    kind: str, weights: list[Tensor | None], each: int, part: int
) -> tuple[Tensor, Tensor, Tensor]:
    """W, R and the two biases of one layer and direction, gates in the order of ONNX."""
    found = [p for p in weights[each * part : each * (part + 1)] if p is not None]

    def ordered(p: Tensor) -> Tensor:
        if kind == "RNN":
            return p
        parts = p.chunk(len(_ORDERS[kind]))
        return torch.cat([parts[i] for i in _ORDERS[kind]])

    w_x, w_h, *biases = [ordered(p) for p in found]
    zero = w_x.new_zeros(len(w_x))
    return w_x, w_h, torch.cat(biases or [zero, zero])


__all__ = ["Ref", "attention", "conv", "linear", "recurrent"]
