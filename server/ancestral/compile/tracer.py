"""The forward pass over a graph: place every value, prove that no output reads its future."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import torch

from ancestral.compile.graph import Graph, Node, Ref, operator_of
from ancestral.compile.place import (
    FUTURE,
    NEVER,
    Atom,
    Dim,
    Dims,
    Fixed,
    Ints,
    Space,
    Table,
    Take,
    Value,
    View,
    as_flat,
    flat_keys,
    full,
    grid_key,
    has,
    payload_shape,
    reshape_dims,
)
from ancestral.compile.walk import Rule, Walk, registrar

RULES: dict[str, Rule] = {}

rule = registrar(RULES)


class Tracer(Walk[View]):
    """Walks a graph once; `values` collects what will be computed, in order."""

    rules = RULES

    def __init__(self, graph: Graph, example: Sequence[torch.Tensor], codes: View) -> None:
        super().__init__(graph, example)
        self.codes = codes
        self.columns = codes.extent[1] if codes.space == "grid" else 1
        self.values: list[Value] = [codes.value]
        self.batch = example[0].shape[0]
        self.attention_size = (0, 0)  # queries and keys of the attention at hand

    # ------------------------------------------------------------------ values and views

    def value(
        self,
        kind: str,
        dims: Dims,
        space: Space,
        extent: tuple[int, int],
        operands: list[Any],
        ready: Ints,
        **attrs: Any,
    ) -> View:
        """A new computed value at the current node."""
        payload = prod(payload_shape(dims))
        name = self.node.name
        if any(v.name == name for v in self.values[-4:]):
            name = f"{name}.{len(self.values)}"
        value = Value(
            name, kind, self.node.op, self.node.source, space, extent, payload, operands,
            {"dims": dims, "node": self.node.name, **attrs},
            np.broadcast_to(ready, (payload,)).astype(np.int64),
        )  # fmt: skip
        self.values.append(value)
        return View(value, dims, extent, (0, 0), full(extent), np.arange(payload))

    def scan(
        self,
        kind: str,
        dims: Dims,
        x: View,
        ready: Ints,
        initial: Sequence[Fixed | None] = (),
        **attrs: Any,
    ) -> View:
        """A state carried along time: each step reads `x` and the state of the step before.

        `initial` are the parts of the state before the first step, joined; zeros where none is
        given. The value is the last operand of itself, one step back, and its initial state is
        what stands before its extent. A state never depends on a later input than its own step
        does, so its ready keys are those of its first step.
        """
        if x.space != "flat" or x.keyed:
            raise self.unsupported("a recurrence along an axis that is not time")
        state = self.value(kind, dims, "flat", x.extent, [self.take(x)], ready, view=x, **attrs)
        value = state.value
        value.operands.append(Take(state, state.pmap, ((0, -1),)))
        value.fill = 0.0
        parts = [p for p in initial if p is not None]
        if parts:
            joined = parts[0] if len(parts) == 1 else self.known("aten.cat.default", parts, -1)
            value.fill = joined
            axes = ("batch", *("one",) * (joined.tensor.dim() - 2), "payload")
            value.attrs["fill_table"] = Table(joined, axes, np.arange(value.payload))
        return state

    def known(self, op: str, *args: Any) -> Fixed:
        """What an operator makes of constants and values of the condition: a node of its own."""
        refer = self.node.name
        name = f"{refer}.known.{len(self.graph.nodes)}"
        fixed = [a for arg in args for a in (arg if isinstance(arg, list) else [arg])]
        item = any(a.item for a in fixed if isinstance(a, Fixed))

        def swap(arg: Any, part: Callable[[Fixed], Any]) -> Any:
            if isinstance(arg, list):
                return [swap(a, part) for a in arg]
            return part(arg) if isinstance(arg, Fixed) else arg

        node = Node(name, op, tuple(swap(a, lambda f: Ref(f.name)) for a in args))
        self.graph = replace(self.graph, nodes=(*self.graph.nodes, node))
        return Fixed(name, item, operator_of(op)(*(swap(a, lambda f: f.tensor) for a in args)))

    def copy(self, view: View, space: Space | None = None) -> View:
        """The view as a value of its own, perhaps on the other lattice."""
        space = space or view.space
        if space == view.space:
            dims, extent, ready = view.dims, view.extent, view.ready
        elif space == "flat":
            if view.shift != (0, 0) or view.valid != full(view.value.extent):
                view = self.copy(view)
            rows, cols = view.extent
            dims = tuple(as_flat(dim) for dim in view.dims)
            extent, ready = (1, rows * cols), flat_keys(view.ready, self.columns)
        else:
            dims, extent = view.dims, self.codes.extent
            ready = np.array([grid_key(int(k)) for k in view.ready])
        out = self.value("copy", dims, space, extent, [self.take(view)], ready, view=view)
        out.value.name = f"{out.value.name}.as.{space}.{len(self.values)}"
        return out

    def to_flat(self, view: View) -> View:
        """The view with rows and columns merged into one flat axis, where it has both."""
        if view.space != "grid":
            dims = tuple(as_flat(dim) for dim in view.dims)
            return View(
                view.value, dims, view.extent, view.shift, view.valid, view.pmap, view.known
            )
        return self.copy(view, "flat")

    def moved_view(self, view: View, dims: Dims, pmap: Ints | None = None) -> View:
        """The same value under other dims, its payload reordered by `pmap`."""
        chosen = view.pmap if pmap is None else view.pmap[pmap]
        return View(view.value, dims, view.extent, view.shift, view.valid, chosen, view.known)

    def shifted(self, view: View, axis: str, start: int, stop: int, fill: Any = None) -> View:
        """Elements start..stop of a site axis; beyond the view's own extent stands the fill."""
        if view.keyed:
            raise self.unsupported("a crop or pad of an attention matrix")
        which = 0 if axis == "row" else 1
        low, high = view.valid[which]
        size = view.extent[which]
        if fill is not None and (start < 0 or stop > size):
            view = self._with_fill(view, fill)
            low, high = view.valid[which]
        shift = list(view.shift)
        shift[which] += start
        extent = list(view.extent)
        extent[which] = stop - start
        valid = list(view.valid)
        valid[which] = (max(low - start, 0), min(high - start, stop - start))
        inside = range(-shift[which], view.value.extent[which] - shift[which])
        torn = [
            i
            for i in (*range(valid[which][0]), *range(valid[which][1], extent[which]))
            if i in inside
        ]
        if torn:
            return self.shifted(self.copy(view), axis, start, stop, fill)
        dims = tuple(
            tuple(Atom(a.kind, extent[which]) if a.kind == axis else a for a in dim)
            for dim in view.dims
        )
        return View(
            view.value, dims, (extent[0], extent[1]), (shift[0], shift[1]),
            (valid[0], valid[1]), view.pmap,
        )  # fmt: skip

    def _with_fill(self, view: View, fill: Any) -> View:
        """The view of a value whose fill is `fill`: the value itself if nobody asked otherwise."""
        current = view.value.fill
        same = current is None or (
            not isinstance(current, Fixed) and not isinstance(fill, Fixed) and current == fill
        )
        if not same or (view.value is self.codes.value and isinstance(fill, Fixed)):
            view = self.copy(view)
        view.value.fill = fill
        return view

    # ------------------------------------------------------------------ operands

    def take(self, view: View, index: Ints | None = None, taps: Sequence[Any] = ((0, 0),)) -> Take:
        pmap = view.pmap if index is None else view.pmap[index]
        reach = tuple((r + view.shift[0], c + view.shift[1]) for r, c in taps)
        return Take(view, pmap, reach)

    def table(self, fixed: Fixed, dims: Dims) -> Table:
        """A constant or per-item operand broadcast against a result of the given dims."""
        shape = tuple(fixed.tensor.shape)
        missing = len(dims) - len(shape)
        axes: list[str] = []
        index = np.zeros((1,) * missing + shape, dtype=np.int64)
        sizes = [1] * missing
        for size, dim in zip(shape, dims[missing:], strict=True):
            kinds = [a.kind for a in dim]
            if size == 1 or not dim:
                axes.append("one")
                sizes.append(1)
            elif kinds == ["payload"] * len(kinds):
                axes.append("payload")
                sizes.append(size)
            elif len(set(kinds)) == 1 or kinds == ["row", "col"]:
                axes.append("flat" if kinds == ["row", "col"] else kinds[0])
                sizes.append(1)
            else:
                raise self.unsupported("a constant broadcast over a mixed axis")
        index = np.arange(prod(sizes), dtype=np.int64).reshape(sizes)
        return Table(fixed, tuple(axes), np.broadcast_to(index, payload_shape(dims)).ravel())

    def never(self, count: int) -> Ints:
        """The keys of something that depends on no input."""
        return np.full(count, NEVER, dtype=np.int64)

    def example_size(self, view: View, dim: int) -> int:
        """The size of one dimension of a view in the example."""
        return prod(atom.size for atom in view.dims[dim])

    def same_space(self, views: Sequence[View]) -> list[View]:
        """The views on one lattice: rows and columns give way to a flat axis where one is met."""
        spaces = {v.space for v in views}
        if len(spaces) == 1:
            return list(views)
        if any(has(dim, "flat") for v in views for dim in v.dims):
            return [self.to_flat(v) if v.space == "grid" else v for v in views]
        return [self.copy(v, "grid") if v.space == "flat" else v for v in views]

    def leak(self, view: View) -> Ints:
        """The keys of something that reads all positions."""
        return np.full(view.pmap.shape, FUTURE, dtype=np.int64)

    def align(self, shape: Sequence[int], views: Sequence[View]) -> Dims:
        """The dims of an elementwise result of that shape."""
        out: list[Dim] = []
        for back in range(len(shape), 0, -1):
            found: Dim = ()
            for view in views:
                if back <= len(view.dims) and view.dims[-back]:
                    dim = view.dims[-back]
                    if found and [a.kind for a in found] != [a.kind for a in dim]:
                        dim = self._reconcile(found, dim)
                    found = dim
            if not found and shape[-back] != 1:
                found = (Atom("payload", int(shape[-back])),)
            out.append(found)
        return tuple(out)

    def _reconcile(self, a: Dim, b: Dim) -> Dim:
        if {x.kind for x in (*a, *b)} == {"payload"}:
            return a if len(a) >= len(b) else b
        raise self.unsupported("operands whose axes mean different things")

    def reshaped(self, view: View, sizes: Sequence[int]) -> Dims:
        dims = reshape_dims(view.dims, sizes, self.codes.extent[1])
        if dims is None:
            raise self.unsupported("a reshape that tears a site axis")
        return dims
