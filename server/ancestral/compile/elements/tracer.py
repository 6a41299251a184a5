"""The forward pass over a graph by elements: an address and a ready time for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ancestral.compile.elements.arena import NEVER, ZEROS, Arena, Ints
from ancestral.compile.elements.program import ElementStep, Rows, Weight
from ancestral.compile.graph import Graph
from ancestral.compile.place import Fixed
from ancestral.compile.walk import Rule, Walk, registrar

MOST_SEAMS = 3  # of what is joined along a dimension that is payload still
RULES: dict[str, Rule] = {}


rule = registrar(RULES)


@dataclass(frozen=True, eq=False)
class View:
    """A tensor of one item (its batch axis of size one included) as addresses.

    `sites` says of each dimension whether going along it leads to other rows of the values it
    shows (a hint at what is computed together, no more). `kind` is "float", "int" or "bool".
    """

    at: Ints
    sites: tuple[bool, ...]
    kind: str = "float"

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.at.shape)

    def broadcast(self, shape: Sequence[int]) -> View:
        missing = len(shape) - self.at.ndim
        return View(np.broadcast_to(self.at, shape), (False,) * missing + self.sites, self.kind)


class Tracer(Walk[View]):
    """Walks a graph once; `steps` collects what will be computed, in order."""

    rules = RULES

    def __init__(self, graph: Graph, example: Sequence[torch.Tensor]) -> None:
        super().__init__(graph, example)
        self.arena = Arena()
        self.steps: list[ElementStep] = []

    # ------------------------------------------------------------------ views

    def view(self, at: Any, kind: str) -> View:
        """Addresses as a view; which dimensions are sites follows from the rows they lie in.

        Where a few wide parts are joined (x beside -x), the join is one of payloads.
        """
        addresses = np.asarray(at, dtype=np.int64)
        row = self.arena.row[addresses]
        sites = []
        for d in range(row.ndim):
            first = row[(slice(None),) * d + (slice(None, -1),)]
            second = row[(slice(None),) * d + (slice(1, None),)]
            others = (first != second) & (first >= 0) & (second >= 0)
            seams = int(others.any(axis=tuple(a for a in range(row.ndim) if a != d)).sum())
            joined = seams <= MOST_SEAMS and 4 * seams < row.shape[d]
            sites.append(seams > 0 and not joined)
        return View(addresses, tuple(sites), kind)

    def as_view(self, value: Any) -> View:
        """A constant joined to computed values, as a view of its place in the arena."""
        if isinstance(value, View):
            return value
        if not isinstance(value, Fixed):
            raise self.unsupported(f"{value!r} in the place of a tensor")
        at = self.arena.place(value)
        return View(at, (False,) * at.ndim, kind_of(value.tensor))

    def ready(self, view: View, sites: Sequence[bool]) -> Ints:
        """Ready times by row and column, [rows, columns]."""
        return self.arena.ready[by_row(view.at, sites)]

    def rows(self, view: View, sites: Sequence[bool]) -> Rows:
        """A view as an operand whose row is one place along the dimensions that `sites` names."""
        base, off = factored(by_row(view.at, sites))
        return Rows(base, off, view.kind)

    # ------------------------------------------------------------------ values

    def value(
        self,
        kind: str,
        shape: Sequence[int],
        sites: Sequence[bool],
        operands: Sequence[Any],
        ready: Ints,
        /,
        macs: int = 0,
        **attrs: Any,
    ) -> View:
        """A new value at the current node, computed by rows. `ready` is [rows, columns or 1]."""
        view, start = self.block(shape, sites, ready)
        self.step(view, start, kind, None, operands, ready, macs, attrs)
        return view

    def block(self, shape: Sequence[int], sites: Sequence[bool], ready: Ints) -> tuple[View, int]:
        """Addresses for a value of that shape, its site dimensions outermost."""
        axes = layout(sites)
        sizes = [shape[a] for a in axes]
        count = int(np.prod([shape[a] for a in axes if sites[a]], dtype=np.int64))
        payload = int(np.prod([shape[a] for a in axes if not sites[a]], dtype=np.int64))
        start = self.arena.block(np.broadcast_to(ready, (count, payload)))
        at = np.arange(start, start + count * payload).reshape(sizes)
        kind = kind_of(self.example_tensor)
        return View(at.transpose(np.argsort(axes)), tuple(sites), kind), start

    def step(
        self,
        view: View,
        start: int,
        kind: str,
        rows: Ints | None,
        operands: Sequence[Any],
        ready: Ints,
        macs: int,
        attrs: dict[str, Any],
    ) -> None:
        """A step that computes some rows of a block (None: all); `macs` are those of one row."""
        payload = int(np.prod([s for s, site in zip(view.shape, view.sites, strict=True)
                               if not site], dtype=np.int64))  # fmt: skip
        count = view.at.size // payload
        own = np.arange(count) if rows is None else rows
        self.steps.append(
            ElementStep(
                f"{self.node.name}.{len(self.steps)}", kind, self.node.op, self.node.source,
                self.node.name, attrs, tuple(operands), start, payload, own,
                ready if ready.shape[0] == len(own) else ready[own], layout(view.sites), macs=macs,
            )
        )  # fmt: skip

    @property
    def example_tensor(self) -> torch.Tensor:
        found = self.example[self.node.name]
        return found if isinstance(found, torch.Tensor) else found[0]


def kind_of(tensor: torch.Tensor) -> str:
    """How a tensor's numbers are meant."""
    if tensor.dtype == torch.bool:
        return "bool"
    return "float" if tensor.is_floating_point() else "int"


def layout(sites: Sequence[bool]) -> tuple[int, ...]:
    """Dimensions with the site ones first."""
    return (*(d for d, s in enumerate(sites) if s), *(d for d, s in enumerate(sites) if not s))


def by_row(at: Ints, sites: Sequence[bool]) -> Ints:
    """Addresses as [rows, columns]: the site dimensions are the rows."""
    axes = layout(sites)
    count = int(np.prod([at.shape[d] for d, s in enumerate(sites) if s], dtype=np.int64))
    return at.transpose(axes).reshape(count, -1)


def factored(at: Ints) -> tuple[Ints, Ints]:
    """[rows, columns] as base[rows, 1] + off[columns] where possible, else base [rows, columns]."""
    blank = (at == 0).all(1)
    shown = np.flatnonzero(~blank)
    model = at[shown[0]] if shown.size else at[0]
    off = model - model[0]
    if (at[shown] == at[shown, :1] + off).all() and (
        not blank.any() or (off.min() >= 0 and off.max() < ZEROS)
    ):
        return at[:, :1].copy(), off
    return at.copy(), np.zeros(1, dtype=np.int64)


def never(rows: int) -> Ints:
    """Ready times of rows that depend on no input."""
    return np.full((rows, 1), NEVER, dtype=np.int64)


__all__ = ["RULES", "Rows", "Tracer", "View", "Weight", "by_row", "factored", "never", "rule"]
