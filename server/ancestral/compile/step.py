"""A step of a StepProgram: one operator, where its operands come from and what it must keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ancestral.compile.place import Ints, Space, Table

Phase = Literal["row", "site"]
ATTENTION = ("scores", "mix", "attend")  # kinds of steps that read a cache of keys or values


@dataclass(frozen=True, eq=False)
class Read:
    """Elements of another step's result (or of the codes, `source` "codes").

    `taps` are (lag, offset): in grid space `lag` rows back and `offset` columns from the reader's
    own index; in flat space `lag` steps back. `pmap` picks payload elements (None: all, in order).
    """

    source: str
    taps: tuple[tuple[int, int], ...]
    pmap: Ints | None
    direct: bool  # the source's result of this very step, no cache needed


@dataclass(frozen=True, slots=True)
class Absent:
    """The part of an operand that nothing reads further on, `size` elements; it stands as zeros."""

    size: int


@dataclass(frozen=True, slots=True)
class Ring:
    """A cache of the last `length` rows (grid) or steps (flat) of a step's result.

    Grid rows have `left` columns before and `right` columns after the value's own, holding `fill`.
    """

    length: int
    left: int = 0
    right: int = 0


@dataclass(frozen=True, eq=False)
class Step:
    """One operator of the step program.

    It computes index (row − lead[0], column − lead[1]) of a value of `extent` rows and columns:
    a whole row at once in phase "row", one site in phase "site". `sub` says, for each payload
    element, before which of the site's channels it is computed (the number of channels: after
    the last has been drawn; −1: never, nothing reads it).
    """

    name: str
    kind: str
    op: str
    source: str
    attrs: dict[str, Any]
    operands: tuple[Any, ...]  # Read, Table, Fixed, Absent or a number
    payload: int
    space: Space
    extent: tuple[int, int]
    phase: Phase
    lead: tuple[int, int]
    sub: Ints
    ring: Ring | None
    fill: float | Table
    keyed: bool = False

    @property
    def macs(self) -> int:
        """Multiply-adds of one execution of a site (keys of attention not counted)."""
        return int(self.attrs.get("macs", 0))
