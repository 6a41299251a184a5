"""Where a value lives: which of its axes are sites, how it is offset, what it depends on.

A *space* is the lattice of sites a value is defined on: "grid" (rows and columns of an image)
or "flat" (time, or the raster rank of an image). Whatever is not batch, site or key axis is
*payload*, flattened in row-major order of the dimensions: at one site a value is a vector.

Dependencies are ordered keys: (row, column, sub-step) relative to the element's own site, packed
into one integer so that the generation order is the order of integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

Space = Literal["grid", "flat"]
Offset = tuple[int, int]  # rows, columns; in flat space (0, steps)
Range = tuple[int, int]
Ints = npt.NDArray[np.int64]

_ROW, _COL = 1 << 40, 1 << 20
NEVER = -(1 << 62)  # depends on no input
FUTURE = 1 << 61  # depends on all positions


def key(row: int, col: int, sub: int = 0) -> int:
    """(row, column, sub-step) as one integer in lexicographic order."""
    return row * _ROW + col * _COL + sub


def split_key(value: int) -> tuple[int, int, int]:
    """The inverse of `key` for |column| and sub-step below 2^19."""
    row, rest = divmod(value + _ROW // 2, _ROW)
    rest -= _ROW // 2
    col, sub = divmod(rest, _COL)
    return row, col, sub


def moved(keys: Ints, row: int, col: int) -> Ints:
    """Keys of elements `row`, `col` away, as seen from here."""
    return np.where(np.abs(keys) >= FUTURE, keys, keys + key(row, col))


class Atom(NamedTuple):
    """A factor of a tensor dimension."""

    kind: Literal["batch", "row", "col", "flat", "key", "payload"]
    size: int


Dim = tuple[Atom, ...]
Dims = tuple[Dim, ...]
SITES = ("row", "col", "flat")


def payload_shape(dims: Dims) -> tuple[int, ...]:
    """The payload size of each dimension."""
    return tuple(prod(a.size for a in dim if a.kind == "payload") for dim in dims)


def has(dim: Dim, *kinds: str) -> bool:
    return any(atom.kind in kinds for atom in dim)


@dataclass(eq=False)
class Value:
    """Something computed: `kind` says by which step, `attrs` and `operands` by which arithmetic."""

    name: str
    kind: str
    op: str
    source: str
    space: Space
    extent: tuple[int, int]  # rows and columns it is defined on
    payload: int
    operands: list[Any]
    attrs: dict[str, Any]
    ready: Ints  # [payload]: the latest input each element needs
    fill: float | Fixed | None = None  # what a reader finds outside the extent
    keyed: bool = False  # has a key axis: one number per payload element and past site
    key_ready: int = NEVER  # the latest input a key needs, relative to the key's own site
    key_steps: list[Value] = field(default_factory=list)  # the steps whose key reach is still open


@dataclass(frozen=True, eq=False)
class View:
    """A value seen through pads, crops and payload movement: no arithmetic of its own.

    Element i of the view is element i + shift of the value where `valid` holds, else the fill.
    """

    value: Value
    dims: Dims
    extent: tuple[int, int]
    shift: Offset
    valid: tuple[Range, Range]
    pmap: Ints  # [view payload] -> payload of the value
    known: npt.NDArray[np.float64] | None = None  # [queries, keys]: nan where not known in advance

    @property
    def space(self) -> Space:
        return self.value.space

    @property
    def ready(self) -> Ints:
        return moved(self.value.ready[self.pmap], *self.shift)

    @property
    def keyed(self) -> bool:
        return self.value.keyed


@dataclass(frozen=True, eq=False)
class Fixed:
    """A constant, or a value that depends on the condition only (`item`): known before sampling."""

    name: str
    item: bool
    tensor: torch.Tensor  # as met in the example


@dataclass(frozen=True, eq=False)
class Take:
    """An operand: the payload `pmap` of a value, `taps` sites away from where it is used."""

    view: View
    pmap: Ints  # [elements] -> payload of the value
    taps: tuple[Offset, ...] = ((0, 0),)  # relative to the reader, the view's shift included


@dataclass(frozen=True, eq=False)
class Table:
    """An operand known before sampling, indexed by site where it has site axes.

    `axes` names the role of each of the tensor's dimensions; `index` picks from its flattened
    payload one entry per element of the reader.
    """

    fixed: Fixed
    axes: tuple[str, ...]
    index: Ints


def full(extent: tuple[int, int]) -> tuple[Range, Range]:
    return (0, extent[0]), (0, extent[1])


def reshape_dims(dims: Dims, sizes: Sequence[int], columns: int) -> Dims | None:
    """The dims of a row-major reshape to `sizes`, or None when a site axis would be torn.

    A merged flat axis splits into rows and columns where the target's sizes are theirs
    (`columns` long). Axes of size one carry no atoms, but for rows and columns.
    """
    atoms = [a for dim in dims for a in dim if a.size != 1 or a.kind in ("row", "col")]
    out: list[Dim] = []
    for size in sizes:
        left, taken = int(size), []
        while left > 1:
            if not atoms:
                return None
            atom = atoms.pop(0)
            if left % atom.size == 0:
                taken.append(atom)
                left //= atom.size
            elif atom.size % left == 0 and atom.kind == "payload":
                taken.append(Atom("payload", left))
                atoms.insert(0, Atom("payload", atom.size // left))
                left = 1
            elif atom.kind == "flat" and columns > 1 and atom.size == left * columns:
                taken.append(Atom("row", left))
                atoms.insert(0, Atom("col", columns))
                left = 1
            else:
                return None
        while atoms and atoms[0].size == 1 and (size == 1 or taken[-1].kind == "row"):
            taken.append(atoms.pop(0))
        out.append(tuple(taken))
    return tuple(out) if not atoms else None


def as_flat(dim: Dim) -> Dim:
    """The dimension with its rows and columns, where it has both, merged into a flat axis."""
    kinds = [a.kind for a in dim]
    if "row" in kinds and "col" in kinds:
        at = kinds.index("row")
        merged = Atom("flat", dim[at].size * dim[at + 1].size)
        return (*dim[:at], merged, *dim[at + 2 :])
    return dim


def flat_keys(keys: Ints, columns: int) -> Ints:
    """Grid keys as raster ranks; a reach beyond the row's end stops there."""
    out = []
    for value in keys:
        if abs(int(value)) >= FUTURE:
            out.append(int(value))
            continue
        row, col, sub = split_key(int(value))
        rank = row * columns + col if row >= 0 else min(row * columns + col, -1)
        out.append(key(0, rank, sub))
    return np.array(out, dtype=np.int64)


def grid_key(value: int) -> int:
    """A rank's key on the grid: what lies before this site may lie anywhere before it."""
    if abs(value) >= FUTURE:
        return value
    _, rank, sub = split_key(value)
    return key(0, rank, sub)
