"""Operators that move elements: views, joins, cuts, pads; and those that make tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ancestral.compile.graph import Ref
from ancestral.runtimes.onnx.writer import INT_MAX, Args, Writer, rule


@rule("view", "reshape", "_unsafe_view", "unflatten")
def reshape(w: Writer, a: Args) -> Any:
    size = list(a.get("size", a.get("shape", a.get("sizes"))))
    if "dim" in a:  # unflatten
        axis = a["dim"] % w.rank(a["self"])
        whole: list[Any] = [_part(w, a["self"], i) for i in range(w.rank(a["self"]))]
        size = whole[:axis] + size + whole[axis + 1 :]
    return w.op("Reshape", w.tensor(a["self"]), _sizes(w, size))


def _part(w: Writer, x: Any, axis: int) -> Any:
    """A size of x as a Ref to a value of the graph."""
    name = f"size of {w.tensor(x)} {axis}"
    shape = w.op("Shape", w.tensor(x), start=axis, end=axis + 1)
    w.bind(name, w.op("Squeeze", shape, w.axes(0)))
    w.examples[name] = w.size(x, axis)
    return Ref(name)


def _sizes(w: Writer, size: list[Any]) -> str:
    """Sizes for Reshape; the only one that is computed is left to follow from the rest."""
    computed = [i for i, v in enumerate(size) if isinstance(v, Ref)]
    if len(computed) == 1 and -1 not in [v for v in size if isinstance(v, int)]:
        size = [-1 if i == computed[0] else v for i, v in enumerate(size)]
    return w.ints(size)


@rule("flatten")
def flatten(w: Writer, a: Args) -> Any:
    rank = w.rank(a["self"])
    first, last = a["start_dim"] % rank, a["end_dim"] % rank
    if first == last:
        return w.tensor(a["self"])
    size: list[Any] = [0] * first + [-1]
    size += [_part(w, a["self"], i) for i in range(last + 1, rank)]
    return w.op("Reshape", w.tensor(a["self"]), w.ints(size))


@rule("permute")
def permute(w: Writer, a: Args) -> Any:
    rank = w.rank(a["self"])
    return w.op("Transpose", w.tensor(a["self"]), perm=[d % rank for d in a["dims"]])


@rule("transpose", "t", "numpy_T", "mT", "swapaxes")
def transpose(w: Writer, a: Args) -> Any:
    rank = w.rank(a["self"])
    order = list(range(rank))
    one, other = a.get("dim0", -2), a.get("dim1", -1)
    if rank < 2:
        return w.tensor(a["self"])
    order[one], order[other] = order[other], order[one]
    return w.op("Transpose", w.tensor(a["self"]), perm=order)


@rule("unsqueeze")
def unsqueeze(w: Writer, a: Args) -> Any:
    return w.unsqueezed(w.tensor(a["self"]), a["dim"] % (w.rank(a["self"]) + 1))


@rule("squeeze")
def squeeze(w: Writer, a: Args) -> Any:
    shape = w.example(a["self"]).shape
    dims = a.get("dim", range(len(shape)))
    dims = [dims] if isinstance(dims, int) else dims
    axes = [d % len(shape) for d in dims if shape[d] == 1]
    return w.op("Squeeze", w.tensor(a["self"]), w.axes(*axes)) if axes else w.tensor(a["self"])


@rule("expand", "broadcast_to")
def expand(w: Writer, a: Args) -> Any:
    size = [1 if isinstance(v, int) and v == -1 else v for v in a["size"]]
    return w.op("Expand", w.tensor(a["self"]), w.ints(size))


@rule("slice")
def slice_(w: Writer, a: Args) -> Any:
    axis = a["dim"] % w.rank(a["self"])
    start, end = a["start"] or 0, INT_MAX if a["end"] is None else a["end"]
    if start == 0 and end == INT_MAX and a["step"] == 1:
        return w.tensor(a["self"])
    return cut(w, w.tensor(a["self"]), axis, start, end, a["step"])


def cut(w: Writer, x: str, axis: int, start: Any, end: Any, step: int = 1) -> str:
    bounds = (w.ints([start]), w.ints([end]), w.axes(axis), w.axes(step))
    return str(w.op("Slice", x, *bounds))


@rule("narrow")
def narrow(w: Writer, a: Args) -> Any:
    end = a["start"] + a["length"]
    return cut(w, w.tensor(a["self"]), a["dim"] % w.rank(a["self"]), a["start"], end)


@rule("select")
def select(w: Writer, a: Args) -> Any:
    index = w.tensor(a["index"], torch.int64)
    return w.op("Gather", w.tensor(a["self"]), index, axis=a["dim"] % w.rank(a["self"]))


@rule("unbind")
def unbind(w: Writer, a: Args) -> Any:
    axis = a["dim"] % w.rank(a["self"])
    x = w.tensor(a["self"])
    count = w.size(a["self"], axis)
    return [w.op("Gather", x, w.constant(np.int64(i)), axis=axis) for i in range(count)]


@rule("split", "split_with_sizes", "chunk", "tensor_split")
def split(w: Writer, a: Args) -> Any:
    axis = a["dim"] % w.rank(a["self"])
    sizes = [int(part.shape[axis]) for part in w.result]
    if len(sizes) == 1:
        return [w.tensor(a["self"])]
    return w.op("Split", w.tensor(a["self"]), w.axes(*sizes), outputs=len(sizes), axis=axis)


@rule("cat", "concat")
def cat(w: Writer, a: Args) -> Any:
    # torch passes over empty vectors
    parts = [t for t in a["tensors"] if w.example(t).shape != (0,)]
    rank = w.result.dim()
    names = [w.tensor(t, w.result.dtype) for t in parts]
    return names[0] if len(names) == 1 else w.op("Concat", *names, axis=a["dim"] % rank)


@rule("stack")
def stack(w: Writer, a: Args) -> Any:
    axis = a["dim"] % w.result.dim()
    parts = [w.unsqueezed(w.tensor(t, w.result.dtype), axis) for t in a["tensors"]]
    return w.op("Concat", *parts, axis=axis)


_MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


@rule("pad", "constant_pad_nd")
def pad(w: Writer, a: Args) -> Any:
    """torch names the last axis first; ONNX all starts, then all ends."""
    given, rank = list(a["pad"]), w.rank(a["self"])
    low: list[Any] = [0] * rank
    high: list[Any] = [0] * rank
    for i in range(len(given) // 2):
        low[rank - 1 - i], high[rank - 1 - i] = given[2 * i], given[2 * i + 1]
    mode = _MODES[a.get("mode", "constant")]
    value = [w.tensor(a["value"] or 0, w.result.dtype)] if mode == "constant" else []
    return w.op("Pad", w.tensor(a["self"]), w.ints([*low, *high]), *value, mode=mode)


@rule("flip")
def flip(w: Writer, a: Args) -> Any:
    axes = [d % w.rank(a["self"]) for d in a["dims"]]
    last, beyond, back = ([v] * len(axes) for v in (-1, -INT_MAX, -1))
    bounds = (w.axes(*last), w.axes(*beyond), w.axes(*axes), w.axes(*back))
    return w.op("Slice", w.tensor(a["self"]), *bounds)


@rule("roll")
def roll(w: Writer, a: Args) -> Any:
    if not a["dims"]:
        raise NotImplementedError("without axes")
    x = w.tensor(a["self"])
    for shift, axis in zip(a["shifts"], a["dims"], strict=True):
        axis %= w.rank(a["self"])
        if shift:
            parts = (cut(w, x, axis, -shift, INT_MAX), cut(w, x, axis, 0, -shift))
            x = str(w.op("Concat", *parts, axis=axis))
    return x


@rule("repeat")
def repeat(w: Writer, a: Args) -> Any:
    x, more = w.tensor(a["self"]), len(a["repeats"]) - w.rank(a["self"])
    x = w.unsqueezed(x, *range(more)) if more else x
    return w.op("Tile", x, w.ints(a["repeats"]))


@rule("repeat_interleave.self_int")
def repeat_interleave(w: Writer, a: Args) -> Any:
    if a["dim"] is None:
        raise NotImplementedError("without an axis")
    rank = w.rank(a["self"])
    axis = a["dim"] % rank
    wide = w.unsqueezed(w.tensor(a["self"]), axis + 1)
    times: list[Any] = [1] * (rank + 1)
    times[axis + 1] = a["repeats"]
    sizes = [_part(w, a["self"], i) for i in range(rank)]
    sizes[axis] = -1
    return w.op("Reshape", w.op("Tile", wide, w.ints(times)), w.ints(sizes))


@rule("tril", "triu")
def triangle(w: Writer, a: Args) -> Any:
    dtype = w.result.dtype
    x = w.tensor(a["self"], torch.int64 if dtype == torch.bool else dtype)
    upper = int(a["op"].startswith("aten.triu"))
    found = w.op("Trilu", x, w.tensor(a["diagonal"], torch.int64), upper=upper)
    return w.cast(found, dtype) if dtype == torch.bool else found


# ---------------------------------------------------------------------- makers


@rule("arange")
def arange(w: Writer, a: Args) -> Any:
    dtype = w.result.dtype
    bounds = [
        w.cast(w.value(v), dtype) if isinstance(v, Ref) else w.tensor(v, dtype)
        for v in (a.get("start", 0), a["end"], a.get("step", 1))
    ]
    return w.op("Range", *bounds)


_FILLS = {"zeros": 0, "ones": 1, "empty": 0}


@rule("zeros", "ones", "empty", "full", "new_zeros", "new_ones", "new_full", "new_empty")
def filled(w: Writer, a: Args) -> Any:
    kind = a["op"].split(".")[1].removeprefix("new_")
    value = w.tensor(a["fill_value"] if kind == "full" else _FILLS[kind], w.result.dtype)
    return w.op("Expand", value, w.ints(a["size"])) if len(a["size"]) else value


@rule("zeros_like", "ones_like", "full_like", "empty_like")
def filled_like(w: Writer, a: Args) -> Any:
    kind = a["op"].split(".")[1].removesuffix("_like")
    value = w.tensor(a["fill_value"] if kind == "full" else _FILLS[kind], w.result.dtype)
    return w.op("Expand", value, w.op("Shape", w.tensor(a["self"])))


@rule("scalar_tensor")
def scalar_tensor(w: Writer, a: Args) -> Any:
    return w.tensor(a["s"], w.result.dtype)


@rule("sym_size")
def sym_size(w: Writer, a: Args) -> Any:
    axis = a["dim"] % w.rank(a["self"])
    shape = w.op("Shape", w.tensor(a["self"]), start=axis, end=axis + 1)
    return w.op("Squeeze", shape, w.axes(0))
