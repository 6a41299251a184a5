"""Data movement: payload is re-indexed, site axes are shifted; nothing is computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ancestral.compile.place import Atom, Dims, Fixed, Ints, Table, View, has, payload_shape
from ancestral.compile.tracer import Tracer, rule

_END = 1 << 62


def _index(view: View) -> Ints:
    """The view's payload numbers in the shape of its dims (batch and site axes of size one)."""
    return np.arange(view.pmap.size).reshape(payload_shape(view.dims))


@rule(
    "aten.alias", "aten.clone", "aten.contiguous", "aten.detach", "aten.lift_fresh_copy",
    "aten.dropout", "aten.lift_fresh", "aten.detach_", "aten.positive",
)  # fmt: skip
def identity(t: Tracer, x: View, *_: Any, **__: Any) -> View:
    if t.node.packet == "aten.dropout" and _[1]:
        raise t.unsupported("dropout in training mode; export the module in eval mode")
    return x


@rule("operator.getitem", "aten.getitem")
def getitem(t: Tracer, parts: Sequence[View], at: int) -> View:
    return parts[at]


@rule(
    "aten.view", "aten.reshape", "aten._unsafe_view", "aten.flatten", "aten.unflatten",
    "aten.squeeze", "aten.unsqueeze", "aten.squeeze_copy", "aten.view_copy",
)  # fmt: skip
def view(t: Tracer, x: View, *_: Any) -> View:
    sizes = t.shape
    if t.node.packet == "aten.unsqueeze":
        at = _[0] % (len(x.dims) + 1)
        return t.moved_view(x, (*x.dims[:at], (), *x.dims[at:]))
    if t.node.packet == "aten.squeeze" and _:
        gone = {d % len(x.dims) for d in ([_[0]] if isinstance(_[0], int) else _[0])}
        if any(x.dims[d] for d in gone):
            raise t.unsupported("squeezing an axis that is not of size one")
        return t.moved_view(x, tuple(d for i, d in enumerate(x.dims) if i not in gone))
    dims = t.reshaped(x, sizes)
    kinds = {a.kind for dim in dims for a in dim}
    if "row" in kinds and x.space == "flat" and x.shift != (0, 0):
        x = t.copy(x)
    return t.moved_view(x, dims)


@rule("aten.permute", "aten.transpose", "aten.t", "aten.movedim", "aten.swapaxes")
def permute(t: Tracer, x: View, *how: Any) -> View:
    rank = len(x.dims)
    order = list(range(rank))
    if t.node.packet == "aten.permute":
        order = [d % rank for d in how[0]]
    elif t.node.packet == "aten.t":
        order = order[::-1]
    elif t.node.packet == "aten.movedim":
        order.insert(how[1] % rank, order.pop(how[0] % rank))
    else:
        a, b = how[0] % rank, how[1] % rank
        order[a], order[b] = order[b], order[a]
    pmap = _index(x).transpose(order).ravel()
    return t.moved_view(x, tuple(x.dims[d] for d in order), pmap)


@rule("aten.expand", "aten.expand_copy", "aten.broadcast_to")
def expand(t: Tracer, x: View, *_: Any, **__: Any) -> View:
    shape = t.shape
    dims = t.align(shape, [x])
    index = _index(x).reshape((1,) * (len(shape) - len(x.dims)) + payload_shape(x.dims))
    return t.moved_view(x, dims, np.broadcast_to(index, payload_shape(dims)).ravel())


@rule("aten.slice", "aten.narrow")
def slice_(t: Tracer, x: View, dim: int = 0, start: Any = None, stop: Any = None,
           step: int = 1) -> View:  # fmt: skip
    dim %= len(x.dims)
    size = t.example_size(x, dim)
    start = 0 if start is None else start
    if t.node.packet == "aten.narrow":
        stop = start + stop
    stop = size if stop is None else stop
    start = min(max(start + size if start < 0 else start, 0), size)
    stop = min(max(stop + size if stop < 0 else stop, start), size)
    if (start, stop, step) == (0, size, 1):
        return x
    return _cut(t, x, dim, start, stop, step)


def _cut(t: Tracer, x: View, dim: int, start: int, stop: int, step: int = 1) -> View:
    at = x.dims[dim]
    if not has(at, "batch", "row", "col", "flat", "key"):
        where = tuple(
            slice(start, stop, step) if d == dim else slice(None) for d in range(len(x.dims))
        )
        chosen = _index(x)[where]
        count = chosen.shape[dim]
        new: Any = (Atom("payload", count),) if count != 1 else ()
        return t.moved_view(x, (*x.dims[:dim], new, *x.dims[dim + 1 :]), chosen.ravel())
    if has(at, "row") and has(at, "col"):
        x = t.to_flat(x)
        at = x.dims[dim]
    if len(at) != 1 or at[0].kind not in ("row", "col", "flat") or step != 1:
        raise t.unsupported(f"a slice of a {'·'.join(a.kind for a in at)} axis with step {step}")
    return t.shifted(x, at[0].kind, start, stop)


@rule("aten.select")
def select(t: Tracer, x: View, dim: int, at: int) -> View:
    dim %= len(x.dims)
    if has(x.dims[dim], "row", "col", "flat", "key"):
        raise t.unsupported("picking one position for all the others to read")
    size = t.example_size(x, dim)
    chosen = np.take(_index(x), at % size, axis=dim)
    return t.moved_view(x, (*x.dims[:dim], *x.dims[dim + 1 :]), chosen.ravel())


@rule(
    "aten.split", "aten.split_with_sizes", "aten.chunk", "aten.split_copy", "aten.tensor_split",
    "aten.unsafe_split", "aten.unsafe_split_with_sizes",
)  # fmt: skip
def split(t: Tracer, x: View, how: Any, dim: int = 0) -> tuple[View, ...]:
    dim %= len(x.dims)
    parts, start = [], 0
    for piece in t.example[t.node.name]:
        size = int(piece.shape[dim])
        parts.append(_cut(t, x, dim, start, start + size))
        start += size
    return tuple(parts)


@rule("aten.unbind")
def unbind(t: Tracer, x: View, dim: int = 0) -> tuple[View, ...]:
    return tuple(select(t, x, dim, i) for i in range(len(t.example[t.node.name])))


@rule("aten.flip")
def flip(t: Tracer, x: View, dims: Sequence[int]) -> View:
    axes = [d % len(x.dims) for d in dims]
    if any(has(x.dims[d], "batch", "row", "col", "flat", "key") for d in axes):
        raise t.unsupported("a flip of a site axis")
    return t.moved_view(x, x.dims, np.flip(_index(x), tuple(axes)).ravel())


@rule("aten.pad", "aten.constant_pad_nd")
def pad(t: Tracer, x: View, pads: Sequence[int], *how: Any, **kw: Any) -> View:
    if t.node.packet == "aten.pad":
        mode = how[0] if how else kw.get("mode", "constant")
        value = how[1] if len(how) > 1 else kw.get("value")
        if mode != "constant":
            raise t.unsupported(f"{mode} padding")
    else:
        value = how[0] if how else kw.get("value", 0.0)
    fill = float(value or 0.0)
    for i in range(len(pads) // 2):
        before, after = int(pads[2 * i]), int(pads[2 * i + 1])
        dim = len(x.dims) - 1 - i
        if before or after:
            x = pad_axis(t, x, dim, before, after, fill)
    return x


def pad_axis(t: Tracer, x: View, dim: int, before: int, after: int, fill: float) -> View:
    """Grow (or crop, where negative) one site axis with a constant."""
    at = x.dims[dim]
    if has(at, "row") and has(at, "col"):
        x = t.to_flat(x)
        at = x.dims[dim]
    if len(at) != 1 or at[0].kind not in ("row", "col", "flat"):
        raise t.unsupported("padding of an axis that is not a site axis")
    size = x.extent[0 if at[0].kind == "row" else 1]
    return t.shifted(x, at[0].kind, -before, size + after, fill)


@rule("aten.stack")
def stack(t: Tracer, parts: Sequence[Any], dim: int = 0) -> View:
    dim %= len(t.shape)
    lifted: list[Any] = []
    for part in parts:
        if isinstance(part, View):
            lifted.append(t.moved_view(part, (*part.dims[:dim], (), *part.dims[dim:])))
        else:
            lifted.append(Fixed(part.name, part.item, part.tensor.unsqueeze(dim)))
    return _cat_payload(t, lifted, dim)


@rule("aten.cat", "aten.concat")
def cat(t: Tracer, parts: Sequence[Any], dim: int = 0) -> View:
    dim %= len(t.shape)
    views = [p for p in parts if isinstance(p, View)]
    if not has(views[0].dims[dim], "row", "col", "flat", "key"):
        return _cat_payload(t, parts, dim)
    if len(views) != 1:
        raise t.unsupported("two computed values joined along a site axis")
    x = views[0]
    if has(x.dims[dim], "row") and has(x.dims[dim], "col"):
        x = t.to_flat(x)
    at = x.dims[dim][0]
    before, after, seen = 0, 0, False
    fill: Any = None
    for part in parts:
        if isinstance(part, View):
            seen = True
            continue
        size = int(part.tensor.shape[dim])
        first = part.tensor.narrow(dim, 0, 1)
        if not bool((part.tensor == first).all()):
            raise t.unsupported("several different start elements joined along a site axis")
        flat = first.flatten()
        uniform = not part.item and bool((flat == flat[0]).all())
        fill = float(flat[0]) if uniform else Fixed(part.name, part.item, first)
        before, after = (before, after + size) if seen else (before + size, after)
    size = x.extent[0 if at.kind == "row" else 1]
    if isinstance(fill, Fixed):
        x = t.copy(x) if x.pmap.size != x.value.payload else x
        dims: Dims = tuple(() if i == dim else d for i, d in enumerate(x.dims))
        x = t.copy(x) if x.value.fill is not None else x
        x.value.attrs["fill_table"] = Table(fill, *_fill_axes(t, fill, dims, x))
    return t.shifted(x, at.kind, -before, size + after, fill)


def _fill_axes(t: Tracer, fill: Fixed, dims: Dims, x: View) -> tuple[tuple[str, ...], Ints]:
    table = t.table(fill, dims)
    index = np.empty(x.value.payload, dtype=np.int64)
    index[x.pmap] = table.index
    return table.axes, index


def _cat_payload(t: Tracer, parts: Sequence[Any], dim: int) -> View:
    views = t.same_space([p for p in parts if isinstance(p, View)])
    remaining = iter(views)
    parts = [next(remaining) if isinstance(p, View) else p for p in parts]
    shape = t.shape
    dims = list(t.align([1 if i == dim else s for i, s in enumerate(shape)], [
        t.moved_view(v, tuple(() if i == dim else d for i, d in enumerate(v.dims))) for v in views
    ]))  # fmt: skip
    operands: list[Any] = []
    order, ready, offset = [], [], 0
    for part in parts:
        size = int(part.tensor.shape[dim]) if isinstance(part, Fixed) else t.example_size(part, dim)
        own = (*dims[:dim], (Atom("payload", size),) if size != 1 else (), *dims[dim + 1 :])
        shape_ = payload_shape(own)
        if isinstance(part, View):
            index = np.broadcast_to(_index(part), shape_).ravel()
            operands.append(t.take(part, index))
            ready.append(part.ready[index])
        else:
            operands.append(t.table(part, own))
            ready.append(t.never(int(np.prod(shape_))))
        order.append(np.arange(np.prod(shape_)).reshape(shape_) + offset)
        offset += int(np.prod(shape_))
    dims[dim] = (Atom("payload", int(shape[dim])),) if shape[dim] != 1 else ()
    gather = np.concatenate(order, axis=dim).ravel()
    return t.value(
        "cat", tuple(dims), views[0].space, views[0].extent, operands,
        np.concatenate(ready)[gather], order=gather,
    )  # fmt: skip
