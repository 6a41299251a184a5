"""The ElementProgram: which rows of which values are computed at each time, and from where."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ancestral.compile.elements.arena import Ints, Placed
from ancestral.compile.graph import Graph


@dataclass(frozen=True, eq=False)
class Rows:
    """An operand: row n of the step reads the addresses base[n, k] + off[p], k-major.

    `kind` is how the numbers are meant: "float", "int" or "bool".
    """

    base: Ints  # [rows, K]
    off: Ints  # [P]
    kind: str = "float"

    def addresses(self) -> Ints:
        """[rows, K · P]."""
        whole = self.base[:, :, None] + self.off
        return whole.reshape(len(self.base), -1)


@dataclass(frozen=True, slots=True)
class Weight:
    """An operand that is a constant of the graph, whole."""

    name: str


@dataclass(frozen=True, eq=False)
class Part:
    """Columns of a step's rows that are computed together, and when.

    `rows` are the step's rows sorted by time; those of the i-th of `times` end at `ends[i]`.
    """

    columns: Ints | None  # None: all
    rows: Ints
    times: Ints
    ends: Ints


@dataclass(eq=False)
class ElementStep:
    """One operator over rows of the arena.

    Row n is written to addresses start + rows[n] · payload … (`rows` None: all in order). `ready`
    [n or …, payload or 1] is the time after which each element can be computed.
    """

    name: str
    kind: str
    op: str
    source: str
    node: str
    attrs: dict[str, Any]
    operands: tuple[Any, ...]  # Rows, Weight or a number
    start: int
    payload: int
    rows: Ints
    ready: Ints
    axes: tuple[int, ...]  # the node's dimensions in the order of the block's layout
    parts: tuple[Part, ...] = ()
    macs: int = 0
    ring: None = field(default=None, init=False)

    def write(self) -> Ints:
        """Addresses of the elements, [rows, payload]."""
        return self.start + self.rows[:, None] * self.payload + np.arange(self.payload)


@dataclass(frozen=True, eq=False)
class ElementProgram:
    """A derived sampler of items of one size; `times` steps, one for each value drawn in turn.

    `params` [sites, D·P] are the addresses of each rank's parameter vectors, `codes` [times, dims]
    those of the values that become known at each time. `order` maps rank to position.
    """

    graph: Graph
    rows: int
    columns: int
    channels: int
    subs: int  # values of one site drawn one after the other
    image: bool
    steps: tuple[ElementStep, ...]
    size: int  # elements of the arena
    literals: dict[float, int]
    placed: tuple[Placed, ...]
    codes: Ints
    params: Ints
    params_shape: tuple[int, int]
    order: npt.NDArray[np.int64]

    space = "elements"
    phase_sites = 1

    @property
    def sites(self) -> int:
        return self.rows * self.columns

    @property
    def summary(self) -> str:
        """The program's size in words."""
        return f"{len(self.steps)} steps over {self.size:,} elements"

    def macs_per_item(self, sites: int) -> int:
        """Multiply-adds to sample an item."""
        return sum(step.macs for step in self.steps)

    def describe(self) -> str:
        """One line per step, for people."""
        lines = []
        for step in self.steps:
            when = sum(len(part.times) for part in step.parts)
            shape = f"[{len(step.rows)} × {step.payload}]"
            lines.append(f"{step.kind:12} {step.name} {shape} at {when} times  {step.source}")
        return "\n".join(lines)
