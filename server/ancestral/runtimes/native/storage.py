"""Memory that compiled code addresses: aligned, padded to whole vectors, owned by numpy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ancestral.runtimes.native import fields as f
from ancestral.runtimes.native.code.lanes import LANES

Array = npt.NDArray[Any]
ALIGNMENT = 64  # bytes of a cache line


def padded(count: int) -> int:
    """Elements of `count`, rounded up to whole vectors."""
    return -(-count // LANES) * LANES


def zeros(shape: Sequence[int], dtype: npt.DTypeLike) -> Array:
    """Zeros at a cache line, a vector's length of spare memory behind them."""
    each = np.dtype(dtype).itemsize
    size = math.prod(shape) * each
    spare = 4 * LANES * each  # inner loops read four vectors at once
    raw = np.zeros(size + spare + ALIGNMENT, dtype=np.uint8)
    first = -int(raw.__array_interface__["data"][0]) % ALIGNMENT
    found: Array = raw[first : first + size].view(dtype).reshape(tuple(shape))
    return found


def kept(array: Array, dtype: npt.DTypeLike) -> Array:
    """A copy in such memory."""
    found = zeros(array.shape, dtype)
    found[...] = array
    return found


@dataclass(frozen=True, slots=True)
class Operand:
    """Where a run of numbers lies; see `fields`."""

    base: int = 0
    slot: int = 0
    column: int = 0
    mode: int = f.PLAIN
    place: int = 0
    lag: int = 0
    phase: int = 0
    aux: int = 0

    def moved(self, size: int) -> Operand:
        """So many bytes further."""
        return replace(self, base=self.base + size) if size else self

    @property
    def integers(self) -> list[int]:
        return [
            self.base, self.slot, self.column, self.mode, self.place, self.lag, self.phase, self.aux
        ]  # fmt: skip


NOWHERE = Operand()
