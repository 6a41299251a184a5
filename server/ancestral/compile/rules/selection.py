"""Movement within the payload: picked, repeated, turned round; site axes stay where they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ancestral.compile.graph import Node, Ref, refs
from ancestral.compile.place import Atom, Dim, Fixed, Ints, View, has, payload_shape
from ancestral.compile.tracer import Tracer, rule
from ancestral.compile.walk import SHAPE_ONLY


def _index(view: View) -> Ints:
    return np.arange(view.pmap.size).reshape(payload_shape(view.dims))


def _payload_axis(t: Tracer, x: View, dim: int) -> int:
    dim %= len(x.dims)
    if has(x.dims[dim], "batch", "row", "col", "flat", "key"):
        raise t.unsupported("along an axis that is not within the payload of a site")
    return dim


def _picked(t: Tracer, x: View, dim: int, index: Ints) -> View:
    """The elements of a payload axis at `index`, in that order."""
    chosen = np.take(_index(x), index, axis=dim)
    new: Dim = (Atom("payload", len(index)),) if len(index) != 1 else ()
    return t.moved_view(x, (*x.dims[:dim], new, *x.dims[dim + 1 :]), chosen.ravel())


@rule("aten.index_select")
def index_select(t: Tracer, x: View, dim: int, where: Fixed) -> View:
    return _picked(t, x, _payload_axis(t, x, dim), where.tensor.reshape(-1).numpy())


@rule("aten.index")
def index(t: Tracer, x: View, where: Sequence[Any]) -> View:
    """Indexing by one constant list along one axis."""
    given = [(dim, w) for dim, w in enumerate(where) if w is not None]
    if len(given) != 1 or isinstance(given[0][1], View) or given[0][1].tensor.dim() != 1:
        raise t.unsupported("indexing by several lists, or by the data")
    dim, places = given[0]
    tensor = places.tensor.nonzero()[:, 0] if places.tensor.dtype.is_signed is False else (
        places.tensor)  # fmt: skip
    return _picked(t, x, _payload_axis(t, x, dim), tensor.numpy())


@rule("aten.roll")
def roll(t: Tracer, x: View, shifts: Any, dims: Any = ()) -> View:
    shifts = [shifts] if isinstance(shifts, int) else list(shifts)
    dims = [d % len(x.dims) for d in ([dims] if isinstance(dims, int) else dims)]
    if not dims:
        raise t.unsupported("a roll of all axes as one")
    if len(dims) == 1 and [a.kind for a in x.dims[dims[0]]] == ["flat"]:
        return _rolled_in_time(t, x, shifts[0], dims[0])
    axes = [_payload_axis(t, x, d) for d in dims]
    return t.moved_view(x, x.dims, np.roll(_index(x), shifts, axes).ravel())


def _rolled_in_time(t: Tracer, x: View, shift: int, dim: int) -> View:
    """A shift to later steps, if nobody reads what comes round from the end."""
    users = [n for n in t.graph.nodes if t.node.name in refs(n.args, tuple(n.kwargs.values()))]
    if shift < 0 or not all(_hides(t, user, shift, dim - len(x.dims)) for user in users):
        raise t.unsupported("a roll along time whose first elements come round from the end")
    return t.shifted(x, "flat", -shift, t.example_size(x, dim) - shift, 0.0)


def _hides(t: Tracer, user: Node, count: int, back: int) -> bool:
    """Whether an operator reads nothing of the first `count` elements of the axis at `back`."""

    def first(arg: Any) -> Any:
        mask = t.example[arg.name]
        if not isinstance(mask, torch.Tensor) or -back > mask.dim() or mask.shape[back] <= count:
            return None
        return None if t.is_located(arg) else mask.narrow(back, 0, count)

    name, args = user.packet.removeprefix("aten."), user.args
    readers = [n for n in t.graph.nodes if user.name in refs(n.args, tuple(n.kwargs.values()))]
    if user.packet in SHAPE_ONLY or (readers and all(n.packet in SHAPE_ONLY for n in readers)):
        return True
    if name == "slice":
        rank = t.example[t.node.name].dim()
        return args[1] % rank - rank == back and isinstance(args[2], int) and args[2] >= count
    if name == "mul" and all(isinstance(a, Ref) for a in args):
        other = first(args[1] if args[0].name == t.node.name else args[0])
        return other is not None and not other.any()
    if name in ("masked_fill", "where"):
        shown = args[1 if name == "masked_fill" else 0]
        mask = first(shown)
        if mask is None:
            return False
        chosen = name == "where" and args[1] == Ref(t.node.name)
        return not mask.any() if chosen else bool(mask.all())
    return False


@rule("aten.repeat_interleave")
def repeat_interleave(t: Tracer, x: View, count: int, dim: int, **_: Any) -> View:
    axis = _payload_axis(t, x, dim)
    return _picked(t, x, axis, np.repeat(np.arange(t.example_size(x, axis)), count))


@rule("aten.repeat", "aten.tile")
def repeat(t: Tracer, x: View, counts: Sequence[int]) -> View:
    lead = len(counts) - len(x.dims)
    if lead < 0:
        counts, lead = (*(1,) * -lead, *counts), 0
    x = t.moved_view(x, (*((),) * lead, *x.dims))
    for dim, count in enumerate(counts):
        if count != 1:
            axis = _payload_axis(t, x, dim)
            x = _picked(t, x, axis, np.tile(np.arange(t.example_size(x, axis)), count))
    return x


@rule("aten.expand_as")
def expand_as(t: Tracer, x: View, _: Any) -> View:
    dims = t.align(t.shape, [x])
    source = _index(x).reshape((1,) * (len(dims) - len(x.dims)) + payload_shape(x.dims))
    return t.moved_view(x, dims, np.broadcast_to(source, payload_shape(dims)).ravel())
