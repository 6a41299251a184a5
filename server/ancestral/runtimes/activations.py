"""The caches' contents from a teacher-forced pass: every cached value of every site at once."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import torch
from torch import Tensor

from ancestral.compile.dependencies import RECURRENT
from ancestral.compile.graph import Graph
from ancestral.compile.place import Table, View
from ancestral.compile.program import StepProgram
from ancestral.compile.step import Read, Step
from ancestral.runtimes.kernels import kernel
from ancestral.runtimes.tables import by_site


def activations(
    program: StepProgram,
    graph: Graph,
    codes: Tensor,
    conditions: tuple[Tensor, ...],
    rank: int,
) -> tuple[dict[str, Tensor], Tensor]:
    """Values of the steps that are cached, at all sites, and the params.

    [rows, columns, payload] on the grid, [sites, payload] where flat. `codes` has batch one and
    its natural shape. Of a recurrence the first `rank` sites are computed.
    """
    by_name = {s.name: s for s in program.steps}
    wanted = {s.name for s in program.steps if s.ring}
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
        if step.kind == "copy" or step.kind in RECURRENT:
            inner = by_name[step.attrs["view"].value.name]
            pending.append(inner.name)
            nodes |= {s.fill.fixed.name for s in (step, inner) if isinstance(s.fill, Table)}
        elif step.kind != "codes":
            nodes.add(step.attrs["node"])
    found = graph.run([codes, *conditions], nodes | {graph.output})
    found["codes"] = codes
    past = _Past(by_name, found, graph.constants, rank)
    return {name: past.activation(by_name[name]) for name in wanted}, found[graph.output]


class _Past:
    """Values by site, off the graph's results or off other values."""

    def __init__(
        self,
        by_name: dict[str, Step],
        found: dict[str, Any],
        weights: Mapping[str, Tensor],
        rank: int,
    ) -> None:
        self.by_name, self.found, self.weights, self.rank = by_name, found, weights, rank
        self.cache: dict[str, Tensor] = {}

    def activation(self, step: Step) -> Tensor:
        if step.name not in self.cache:
            self.cache[step.name] = self._computed(step)
        return self.cache[step.name]

    def _computed(self, step: Step) -> Tensor:
        if step.kind in RECURRENT:
            return self._states(step)
        if step.kind != "copy":
            name = "codes" if step.kind == "codes" else step.attrs["node"]
            return _site_major(self.found[name], step.attrs["dims"])
        inner, result = self._read(step)
        if inner.space == "grid" and step.space == "flat":
            return result.flatten(0, 1)
        if inner.space == "flat" and step.space == "grid":
            return result.reshape(*step.extent, -1)
        return result

    def _read(self, step: Step) -> tuple[Step, Tensor]:
        view: View = step.attrs["view"]
        inner = self.by_name[view.value.name]
        return inner, _seen(view, inner, self.activation(inner), self.found)

    def _states(self, step: Step) -> Tensor:
        """The states of a recurrence, which the graph does not hold: one step after the other."""
        inputs = self._read(step)[1]
        advance = kernel(step, self.weights, inputs.dtype)
        states = inputs.new_zeros((len(inputs), step.payload))
        state = inputs.new_zeros(1, step.payload) + _fill(step, self.found)
        for site in range(min(self.rank, len(inputs))):
            state = advance(inputs[site : site + 1], state)
            states[site] = state[0]
        return states


def _fill(step: Step, found: dict[str, Any]) -> Any:
    """What stands outside a value's extent: a number, or [payload]."""
    if not isinstance(step.fill, Table):
        return step.fill
    tensor = found.get(step.fill.fixed.name, step.fill.fixed.tensor)
    return by_site(tensor[:1], step.fill)


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
    device = source.device
    pmap = torch.from_numpy(view.pmap.copy()).to(device)
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
        at = torch.arange(size, device=device)
        index.append((at + view.shift[axis]).clamp(0, grown[position] - 1))
        inside.append((at >= low) & (at < high))
    mask = inside[0][:, None] if len(axes) == 1 else (inside[0][:, None] & inside[1])[..., None]
    picked = source[index[0]] if len(axes) == 1 else source[index[0][:, None], index[1]]
    fill = _fill(step, found)
    fill = fill.to(picked.dtype)[pmap] if isinstance(fill, Tensor) else fill
    return torch.where(mask, picked, torch.as_tensor(fill, dtype=picked.dtype, device=device))
