"""Operators that look elements up or put them in place."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ancestral.compile.graph import Ref
from ancestral.runtimes.onnx.writer import Args, Writer, rule


@rule("embedding")
def embedding(w: Writer, a: Args) -> Any:
    return w.op("Gather", w.tensor(a["weight"]), w.tensor(a["indices"]), axis=0)


@rule("one_hot")
def one_hot(w: Writer, a: Args) -> Any:
    if a["num_classes"] < 0:
        raise NotImplementedError("without the number of classes")
    depth = w.constant(np.int64(a["num_classes"]))
    return w.op("OneHot", w.tensor(a["self"]), depth, w.axes(0, 1), axis=-1)


@rule("index_select")
def index_select(w: Writer, a: Args) -> Any:
    axis = a["dim"] % w.rank(a["self"])
    return w.op("Gather", w.tensor(a["self"]), w.tensor(a["index"]), axis=axis)


@rule("gather")
def gather(w: Writer, a: Args) -> Any:
    axis = a["dim"] % w.rank(a["self"])
    return w.op("GatherElements", w.tensor(a["self"]), w.tensor(a["index"]), axis=axis)


@rule("scatter.src")
def scatter(w: Writer, a: Args) -> Any:
    axis = a["dim"] % w.rank(a["self"])
    return w.op(
        "ScatterElements", w.tensor(a["self"]), w.tensor(a["index"]), w.tensor(a["src"]), axis=axis
    )


def _together(w: Writer, indices: list[Ref]) -> str:
    """Index tensors, broadcast against each other, as one [..., how many]."""
    names = [w.tensor(index, torch.int64) for index in indices]
    if len(names) > 1:
        total = names[0]
        for name in names[1:]:
            total = w.op("Add", total, name)
        blank = w.op("Sub", total, total)
        names = [w.op("Add", name, blank) for name in names]
    rank = max(w.rank(index) for index in indices)
    parts = [w.unsqueezed(name, rank) for name in names]
    return parts[0] if len(parts) == 1 else str(w.op("Concat", *parts, axis=rank))


@rule("index.Tensor")
def index(w: Writer, a: Args) -> Any:
    given = [i for i in a["indices"] if i is not None]
    if any(w.dtype(i) == torch.bool for i in given):
        raise NotImplementedError("by a mask")
    first = next(k for k, i in enumerate(a["indices"]) if i is not None)
    if len(given) == 1:
        return w.op("Gather", w.tensor(a["self"]), w.tensor(given[0], torch.int64), axis=first)
    if first or a["indices"][: len(given)] != given:
        raise NotImplementedError("with axes between the indices")
    return w.op("GatherND", w.tensor(a["self"]), _together(w, given))


@rule("index_put")
def index_put(w: Writer, a: Args) -> Any:
    given = list(a["indices"])
    if None in given or a["accumulate"] or any(w.dtype(i) == torch.bool for i in given):
        raise NotImplementedError("other than whole numbers, first axes first")
    values = w.tensor(a["values"], w.result.dtype)
    return w.op("ScatterND", w.tensor(a["self"]), _together(w, given), values)


@rule("index_copy")
def index_copy(w: Writer, a: Args) -> Any:
    if a["dim"] % w.rank(a["self"]):
        raise NotImplementedError("beyond the first axis")
    index = w.unsqueezed(w.tensor(a["index"]), 1)
    return w.op("ScatterND", w.tensor(a["self"]), index, w.tensor(a["source"]))


@rule("sort.stable")
def sort(w: Writer, a: Args) -> Any:
    """TopK of all: equal values keep their order, as in a stable sort."""
    axis = a["dim"] % w.rank(a["self"])
    count = w.axes(w.size(a["self"], axis))
    largest = int(bool(a["descending"]))
    return w.op("TopK", w.tensor(a["self"]), count, outputs=2, axis=axis, largest=largest)
