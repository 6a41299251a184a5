"""Rows of the table of operations; see `fields`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ancestral.compile.place import Ints
from ancestral.compile.program import StepProgram
from ancestral.runtimes.native import fields as f
from ancestral.runtimes.native.code.blocks import FULL, NARROW
from ancestral.runtimes.native.code.kernels import kernels
from ancestral.runtimes.native.code.lanes import LANES
from ancestral.runtimes.native.code.pointwise import CODES
from ancestral.runtimes.native.code.products import Packed
from ancestral.runtimes.native.lower.ahead import MOST, known
from ancestral.runtimes.native.lower.plan import Plan
from ancestral.runtimes.native.lower.rings import RingStore
from ancestral.runtimes.native.lower.rooms import Rooms
from ancestral.runtimes.native.lower.weights import Weights
from ancestral.runtimes.native.storage import NOWHERE, Array, Operand, kept, padded, zeros


class Operations(Rooms):
    """Appends operations, with the numbers, indices and packed weights that they refer to."""

    def __init__(
        self,
        program: StepProgram,
        plan: Plan,
        weights: Weights,
        slots: int,
        rings: Mapping[str, RingStore],
    ) -> None:
        super().__init__(program, plan, slots, weights.dtype, rings)
        self.weights = weights
        self.operations: list[list[int]] = []
        self.links: list[list[int]] = []
        self.most_segments = 1
        self.most_scratch = 64
        self.numbers: dict[tuple[float, int], Array] = {}

    def number(self, value: float, count: int) -> Operand:
        """A number in every element, the same for all slots and columns."""
        key = (value, padded(count))
        if key not in self.numbers:
            self.numbers[key] = zeros((padded(count),), self.dtype)
            self.numbers[key][:] = value
        return Operand(self.numbers[key].ctypes.data)

    def indices(self, index: Ints) -> int:
        """The address of 64-bit integers."""
        self.memory.append(kept(np.asarray(index), np.int64))
        return int(self.memory[-1].ctypes.data)

    def emit(
        self,
        kind: int,
        out: Operand,
        x: Operand = NOWHERE,
        y: Operand = NOWHERE,
        z: Operand = NOWHERE,
        *,
        code: int = 0,
        count: int = 0,
        extra: int = 0,
    ) -> list[int]:
        operation = self._operation(kind, out, x, y, z)
        operation[f.CODE], operation[f.COUNT], operation[f.EXTRA] = code, count, extra
        self.operations.append(operation)
        return operation

    def _operation(
        self,
        kind: int,
        out: Operand,
        x: Operand = NOWHERE,
        y: Operand = NOWHERE,
        z: Operand = NOWHERE,
    ) -> list[int]:
        head = [0] * f.OPERANDS
        head[f.KIND], head[f.LOW], head[f.HIGH] = kind, -1, 1 << 40
        head[f.COLUMNS] = self.columns()
        return head + out.integers + x.integers + y.integers + z.integers

    def apply(self, name: str, out: Operand, *operands: Operand, count: int) -> None:
        """An elementwise function; see `pointwise`."""
        operation = self.emit(f.POINTWISE, out, *operands, code=CODES[name], count=count)
        columns = max(self.columns(), 1)
        whole = columns * padded(count)
        dense = all(
            o.slot == whole * self.size
            and (not self.columns() or o.column == padded(count) * self.size)
            and o.mode in (f.PLAIN, f.RING)
            for o in (out, *operands)
        )
        operation[f.DENSE] = whole if dense else 0

    def product(
        self,
        out: Operand,
        segments: Sequence[tuple[Operand, int]],
        key: Any,
        matrix: Any,
        bias: Any,
        added: Operand = NOWHERE,
    ) -> None:
        """out = bias + added + x Wᵀ; `matrix()` [out, in] and `bias()` are asked for once a key."""
        sizes = [count for _, count in segments]
        packed, beside = self.weights.product((*key, *sizes), matrix, bias, sizes)
        own = packed.form not in (FULL, NARROW)
        size = packed.weights.shape[1] if packed.form == NARROW else sum(sizes)
        kernel = kernels(self.dtype, packed.form).address if own else 0
        links = [[*self._plain(operand, count).integers, count] for operand, count in segments]
        operation = self.emit(f.PRODUCT, out, self._plain(added, packed.panels * LANES))
        head = [len(self.links), len(segments), packed.weights.ctypes.data, size, packed.parts]
        head += [beside, packed.form, kernel]
        operation[f.Y : f.Y + f.OPERAND] = head
        if not added.base and packed.form != NARROW:
            self._ahead(operation, segments, (*key, *sizes), packed)
        self.links += links
        self.most_segments = max(self.most_segments, len(segments))

    def _ahead(
        self, operation: list[int], segments: Sequence[tuple[Operand, int]], key: Any,
        packed: Packed,
    ) -> None:  # fmt: skip
        """Room for what of a product is known before its turn."""
        older, sites = known(self._step, segments)
        if not older:
            return
        inputs, wide = sum(count for _, count in segments[:older]), packed.panels * LANES
        held = self.temporary(sites * inputs)
        self.memory.append(zeros((min(self.slots, MOST) * sites, wide), self.dtype))
        sums = self.memory[-1].ctypes.data
        zero = self.weights.once((*key, "no bias"), lambda: packed.record(np.full(wide, -0.0)))
        found = [sites, older, inputs, held.base, sums, zero.ctypes.data, MOST, 0]
        operation[f.Z : f.Z + f.OPERAND] = found

    def _plain(self, operand: Operand, count: int) -> Operand:
        """Products take rows at equal distances: what differs from slot to slot is copied first."""
        if operand.mode not in (f.BY_RANK, f.BY_ROW):
            return operand
        held = self.temporary(count)
        self.apply("copy", held, operand, count=count)
        return held
