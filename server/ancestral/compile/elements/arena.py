"""The arena: every element of every value of one item has an address, and so has every constant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ancestral.compile.errors import CompileError
from ancestral.compile.place import Fixed

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

NEVER = -1  # ready time of what depends on no input
ZEROS = 1 << 14  # length of the block of zeros at address 0: a row of padding reads from there
LARGEST = 1 << 26  # elements of an item's arena

# Scores at or below this are masked: exp(score − max) vanishes in every precision.
MASKED = -1e4


@dataclass(frozen=True, eq=False)
class Placed:
    """A constant, or what follows from the condition, held in the arena in its own layout."""

    start: int
    fixed: Fixed


class Arena:
    """Addresses, and what the compiler knows of each.

    ready   the time step after which an element can be computed (that of the last code it reads)
    row     which row of which value it belongs to, −1 for constants
    known   its value where that is known in advance, else nan
    """

    def __init__(self) -> None:
        self.size = 0
        self.rows = 0
        self.ready: Ints = np.empty(0, dtype=np.int64)
        self.row: Ints = np.empty(0, dtype=np.int64)
        self.known: Floats = np.empty(0)
        self.literals: dict[float, int] = {}
        self.placed: dict[str, Placed] = {}
        self._grow(ZEROS)
        self.known[:ZEROS] = 0.0

    def _grow(self, count: int) -> int:
        start, self.size = self.size, self.size + count
        if self.size > LARGEST:
            raise CompileError(f"an item's values come to more than {LARGEST:,} elements")
        if self.size > self.ready.size:
            room = max(self.size, 2 * self.ready.size) - self.ready.size
            self.ready = np.concatenate([self.ready, np.full(room, NEVER)])
            self.row = np.concatenate([self.row, np.full(room, -1)])
            self.known = np.concatenate([self.known, np.full(room, np.nan)])
        return start

    def block(self, ready: Ints) -> int:
        """Addresses for a computed value of which `ready` [rows, columns] is given."""
        start = self._grow(ready.size)
        here = slice(start, self.size)
        self.ready[here] = ready.ravel()
        self.row[here] = self.rows + np.repeat(np.arange(ready.shape[0]), ready.shape[1])
        self.rows += ready.shape[0]
        return start

    def literal(self, value: float) -> int:
        """The address of a number."""
        if value == 0:
            return 0
        if value not in self.literals:
            at = self.literals[value] = self._grow(1)
            self.known[at] = value
        return self.literals[value]

    def place(self, fixed: Fixed) -> Ints:
        """The addresses of a constant's elements, in its own shape."""
        if fixed.name not in self.placed:
            start = self._grow(fixed.tensor.numel())
            self.placed[fixed.name] = Placed(start, fixed)
            if not fixed.item:
                values = fixed.tensor.double().flatten().numpy()
                self.known[start : start + values.size] = values
        start = self.placed[fixed.name].start
        return np.arange(start, start + fixed.tensor.numel()).reshape(tuple(fixed.tensor.shape))
