"""The memory of cached values."""

from __future__ import annotations

from typing import Any

import numpy as np

from ancestral.compile.step import Step
from ancestral.runtimes.native import fields as f
from ancestral.runtimes.native.storage import Operand, padded, zeros


class RingStore:
    """A ring's memory: [length, slots, payload], on the grid [length, slots, columns, payload]."""

    def __init__(self, step: Step, slots: int, dtype: np.dtype[Any], phase: int) -> None:
        assert step.ring is not None
        self.step, self.length, self.left, self.phase = (
            step,
            step.ring.length,
            step.ring.left,
            phase,
        )
        width = padded(step.payload)
        columns = step.ring.left + step.extent[1] + step.ring.right
        shape = (columns, width) if step.space == "grid" else (width,)
        self.array = zeros((self.length, slots, *shape), dtype)
        strides = self.array.strides
        self.place, self.slot = strides[0], strides[1]
        self.column = strides[2] if step.space == "grid" else 0
        self.base = self.array.ctypes.data

    def operand(self, lag: int = 0, offset: int = 0) -> Operand:
        """The place `lag` steps or rows back, in `offset` columns from the batch's."""
        base = self.base + (self.left + offset) * self.column
        return Operand(base, self.slot, self.column, f.RING, self.place, lag, self.phase)
