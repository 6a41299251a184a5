"""The caches' contents from a teacher-forced pass: every cached value of every site at once."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor

from ancestral.compile.graph import Graph
from ancestral.compile.place import Table, View
from ancestral.compile.program import Read, Step, StepProgram
from ancestral.runtimes.tables import by_site


def activations(
    program: StepProgram,
    graph: Graph,
    codes: Tensor,
    conditions: tuple[Tensor, ...],
    *,
    every: bool = False,
) -> tuple[dict[str, Tensor], Tensor]:
    """Values of the steps that are cached, or of every step, at all sites; and the params.

    [rows, columns, payload] on the grid, [sites, payload] where flat. `codes` has batch one and
    its natural shape.
    """
    by_name = {s.name: s for s in program.steps}
    wanted = {s.name for s in program.steps if s.ring or every}
    wanted |= {
        o.source
        for s in program.steps
        if s.kind in ("scores", "mix", "attend")
        for o in s.operands[1:]
        if isinstance(o, Read)
    }
    nodes: set[str] = set()
    pending = list(wanted)
    while pending:
        step = by_name[pending.pop()]
        if step.kind == "copy":
            view: View = step.attrs["view"]
            pending.append(view.value.name)
            if isinstance(by_name[view.value.name].fill, Table):
                nodes.add(by_name[view.value.name].fill.fixed.name)  # type: ignore[union-attr]
        elif step.kind != "codes":
            nodes.add(step.attrs["node"])
    found = graph.run([codes, *conditions], nodes | {graph.output})
    found["codes"] = codes
    cache: dict[str, Tensor] = {}
    values = {name: _activation(by_name[name], by_name, found, cache) for name in wanted}
    return values, found[graph.output]


def _activation(
    step: Step, by_name: dict[str, Step], found: dict[str, Any], cache: dict[str, Tensor]
) -> Tensor:
    if step.name in cache:
        return cache[step.name]
    if step.kind == "copy":
        view: View = step.attrs["view"]
        inner = by_name[view.value.name]
        result = _seen(view, inner, _activation(inner, by_name, found, cache), found)
        if inner.space == "grid" and step.space == "flat":
            result = result.flatten(0, 1)
        elif inner.space == "flat" and step.space == "grid":
            result = result.reshape(*step.extent, -1)
    else:
        tensor = found["codes"] if step.kind == "codes" else found[step.attrs["node"]]
        result = _site_major(tensor, step.attrs["dims"])
    cache[step.name] = result
    return result


def _site_major(tensor: Tensor, dims: Any) -> Tensor:
    """A batch-one tensor as [sites..., payload]."""
    sites: list[int] = []
    payload: list[int] = []
    shape: list[int] = []
    for size, dim in zip(tensor.shape, dims, strict=True):
        atoms = dim or ((None, 1),)
        known = prod(a[1] for a in atoms if a[0] == "payload")
        for kind, length in atoms:
            if kind == "payload":
                payload.append(len(shape))
                shape.append(length)
            elif kind in ("row", "col", "flat"):
                sites.append(len(shape))
                pair = len([a for a in atoms if a[0] in ("row", "col")]) == 2
                shape.append(length if pair else size // known)
            else:
                payload.append(len(shape))
                shape.append(1)
    tensor = tensor.reshape(shape).permute(*sites, *payload)
    return tensor.reshape(*tensor.shape[: len(sites)], -1)


def _seen(view: View, step: Step, source: Tensor, found: dict[str, Any]) -> Tensor:
    """A value through a view's shift and fill, its payload picked."""
    pmap = torch.from_numpy(view.pmap.copy())
    source = source.index_select(-1, pmap)
    grown = source.shape[:-1]
    axes = (0, 1) if step.space == "grid" else (1,)
    index: list[Tensor] = []
    inside: list[Tensor] = []
    for position, axis in enumerate(axes):
        # lengths follow the item's own, which may differ from the example's
        size = view.extent[axis] + grown[position] - step.extent[axis]
        low, high = view.valid[axis]
        high = size - (view.extent[axis] - high)
        at = torch.arange(size)
        index.append((at + view.shift[axis]).clamp(0, grown[position] - 1))
        inside.append((at >= low) & (at < high))
    mask = inside[0][:, None] if len(axes) == 1 else (inside[0][:, None] & inside[1])[..., None]
    picked = source[index[0]] if len(axes) == 1 else source[index[0][:, None], index[1]]
    fill: Any = step.fill
    if isinstance(fill, Table):
        tensor = found.get(fill.fixed.name, fill.fixed.tensor)
        fill = by_site(tensor[:1], fill).to(picked.dtype)[pmap]
    return torch.where(mask, picked, torch.as_tensor(fill, dtype=picked.dtype))
