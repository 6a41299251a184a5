"""Movement within the payload: picked, repeated, turned round; site axes stay where they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ancestral.compile.place import Atom, Dim, Fixed, Ints, View, has, payload_shape
from ancestral.compile.tracer import Tracer, rule


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
    dims = [dims] if isinstance(dims, int) else list(dims)
    if not dims:
        raise t.unsupported("a roll of all axes as one")
    axes = [_payload_axis(t, x, d) for d in dims]
    return t.moved_view(x, x.dims, np.roll(_index(x), shifts, axes).ravel())


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
