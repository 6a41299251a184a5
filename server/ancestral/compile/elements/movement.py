"""Data movement: the operator itself, applied to addresses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ancestral.compile.elements.arena import Ints
from ancestral.compile.elements.tracer import Tracer, View, rule
from ancestral.compile.graph import map_refs, operator_of
from ancestral.compile.place import Fixed


def _labels(view: View) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(view.at))


def _apply(
    t: Tracer, labels: Sequence[Tensor], views: Sequence[View], args: Any, kwargs: Any
) -> Any:
    """The node's operator on labels in place of the views; in float64 where it needs that."""
    operator = operator_of(t.node.op)
    for dtype in (torch.int64, torch.float64):
        table = {id(v): label.to(dtype) for v, label in zip(views, labels, strict=True)}

        def swap(value: Any, table: dict[int, Tensor] = table) -> Any:
            if isinstance(value, View):  # one that is not moved gives its shape
                return table[id(value)] if id(value) in table else _labels(value)
            if isinstance(value, Fixed):
                return value.tensor
            if isinstance(value, (list, tuple)):
                return type(value)(swap(item) for item in value)
            return value

        try:
            return operator(*swap(args), **{k: swap(v) for k, v in kwargs.items()})
        except RuntimeError:
            if dtype == torch.float64:
                raise
    raise AssertionError


def _views(t: Tracer, found: Any, kind: str) -> Any:
    if isinstance(found, Tensor):
        return t.view(found.to(torch.int64).numpy(), kind)
    return tuple(_views(t, part, kind) for part in found)


@rule(
    "aten.alias", "aten.clone", "aten.contiguous", "aten.detach", "aten.lift_fresh_copy",
    "aten.lift_fresh", "aten.detach_", "aten.positive",
)  # fmt: skip
def identity(t: Tracer, x: View, *_: Any, **__: Any) -> View:
    return x


@rule("aten.dropout", "aten.feature_dropout", "aten.native_dropout")
def dropout(t: Tracer, x: View, _: float, train: bool, *__: Any) -> Any:
    if train:
        raise t.unsupported("dropout in training mode; export the module in eval mode")
    return x


@rule("aten.to", "aten._to_copy", "aten.type_as", "aten.float", "aten.double")
def cast(t: Tracer, x: View, *_: Any, **__: Any) -> View:
    tensor = t.example_tensor
    if not tensor.is_floating_point() and x.kind == "float":
        raise t.unsupported("a real value made a whole number")
    return View(x.at, x.sites, "float" if tensor.is_floating_point() else x.kind)


@rule("operator.getitem", "aten.getitem")
def getitem(t: Tracer, parts: Sequence[View], at: int) -> View:
    return parts[at]


@rule(
    "aten.view", "aten.reshape", "aten._unsafe_view", "aten.flatten", "aten.unflatten",
    "aten.squeeze", "aten.unsqueeze", "aten.squeeze_copy", "aten.view_copy", "aten.permute",
    "aten.transpose", "aten.t", "aten.movedim", "aten.swapaxes", "aten.expand",
    "aten.expand_copy", "aten.broadcast_to", "aten.slice", "aten.narrow", "aten.select",
    "aten.split", "aten.split_with_sizes", "aten.chunk", "aten.unbind", "aten.tensor_split",
    "aten.unsafe_split", "aten.unsafe_split_with_sizes", "aten.split_copy",
    "aten.flip", "aten.roll", "aten.rot90", "aten.im2col", "aten.unfold", "aten.unfold_copy",
    "aten.pixel_shuffle", "aten.pixel_unshuffle", "aten.repeat", "aten.tile",
    "aten.repeat_interleave", "aten.index_select", "aten.diagonal", "aten.tril", "aten.triu",
    "aten.upsample_nearest1d", "aten.upsample_nearest2d", "aten._unsafe_index", "aten.take",
    "aten.reflection_pad1d", "aten.reflection_pad2d", "aten.replication_pad1d",
    "aten.replication_pad2d", "aten.as_strided", "aten.select_copy", "aten.slice_copy",
    "aten.permute_copy", "aten.transpose_copy", "aten.unsqueeze_copy", "aten.channel_shuffle",
    "aten.reshape_as", "aten.view_as", "aten.expand_as", "aten.swapdims", "aten.ravel",
)  # fmt: skip
def move(t: Tracer, x: View, *args: Any, **kwargs: Any) -> Any:
    return _views(t, _apply(t, [_labels(x)], [x], (x, *args), kwargs), x.kind)


@rule("aten.index")
def index(t: Tracer, x: View, where: Sequence[Any]) -> View:
    if any(isinstance(w, View) for w in where):
        raise t.unsupported("an index computed from the data")
    found: View = move(t, x, where)
    return found


@rule("aten.gather")
def gather(t: Tracer, x: View, dim: int, where: Fixed) -> View:
    found: View = move(t, x, dim, where)
    return found


@rule("aten.constant_pad_nd", "aten.pad")
def pad(t: Tracer, x: View, sizes: Sequence[int], *rest: Any) -> View:
    if t.node.packet == "aten.pad":
        mode, value = (rest[0] if rest else "constant"), (rest[1] if len(rest) > 1 else None)
        if mode != "constant":
            found: View = move(t, x, sizes, mode)
            return found
        return pad_with(t, x, sizes, float(value or 0.0))
    return pad_with(t, x, sizes, float(rest[0] if rest else 0.0))


def pad_with(t: Tracer, x: View, sizes: Sequence[int], value: float) -> View:
    """The view with constants around it, `sizes` as torch's pad takes them."""
    filled = torch.nn.functional.pad(_labels(x), list(sizes), value=t.arena.literal(value))
    return t.view(filled.numpy(), x.kind)


def _join(t: Tracer, *args: Any, **kwargs: Any) -> View:
    """Tensors put together: all of them as addresses, constants from their place in the arena."""

    def placed(value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return type(value)(placed(item) for item in value)
        return t.as_view(value) if isinstance(value, Fixed) else value

    arguments = placed(args)
    views: list[View] = []

    def collect(value: Any) -> None:
        if isinstance(value, View):
            views.append(value)
        elif isinstance(value, (list, tuple)):
            for item in value:
                collect(item)

    collect(arguments)
    found = _apply(t, [_labels(v) for v in views], views, arguments, kwargs)
    joined: View = _views(t, found, views[0].kind)
    return joined


@rule("aten.cat", "aten.stack", "aten.slice_scatter", "aten.select_scatter", "aten.hstack",
      "aten.vstack", "aten.dstack", "aten.copy", "aten.diagonal_scatter")  # fmt: skip
def join(t: Tracer, *args: Any, **kwargs: Any) -> View:
    return _join(t, *args, **kwargs)


@rule("aten.index_put", "aten._unsafe_index_put", "aten.scatter", "aten.index_copy")
def put(t: Tracer, x: Any, *args: Any, **kwargs: Any) -> View:
    """Assignment at constant places; the indices stay as they are."""
    if t.node.packet in ("aten.scatter", "aten.index_copy"):
        dim, where, source = args[:3]
        if isinstance(where, View):
            raise t.unsupported("an index computed from the data")
        tensor = where.tensor
        base = t.as_view(x)
        value = (
            t.as_view(source)
            if isinstance(source, (View, Fixed))
            else t.arena.literal(float(source))
        )
        labels = _labels(base)
        if isinstance(value, int):
            return t.view(labels.scatter(dim, tensor, value).numpy(), base.kind)
        other = _labels(value)
        found = (
            labels.scatter(dim, tensor, other)
            if t.node.packet == "aten.scatter"
            else labels.index_copy(dim, tensor, other)
        )
        return t.view(found.numpy(), base.kind)
    where, values = args[:2]
    if any(isinstance(w, View) for w in where):
        raise t.unsupported("an index computed from the data")
    if args[2] if len(args) > 2 else kwargs.get("accumulate", False):
        raise t.unsupported("an assignment that adds")
    base, source = t.as_view(x), t.as_view(values)
    places = [None if w is None else w.tensor for w in where]
    found = operator_of("aten.index_put.default")(_labels(base), places, _labels(source))
    return t.view(found.numpy(), base.kind)


def chosen(t: Tracer, mask: np.ndarray, x: View, other: View | int) -> View:
    """`other` where the constant mask holds, x elsewhere; all broadcast to the node's shape."""
    shape = t.shape
    at = np.broadcast_to(x.at, shape)
    second = other if isinstance(other, int) else np.broadcast_to(other.at, shape)
    return t.view(np.where(np.broadcast_to(mask, shape), second, at), x.kind)


__all__ = ["Ints", "chosen", "map_refs", "pad_with"]
