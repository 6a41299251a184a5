"""A step program as a table of operations over memory; see `fields` for the table."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from ancestral.compile.place import Ints, Table
from ancestral.compile.program import Absent, Read, Step, StepProgram
from ancestral.runtimes.native import fields as f
from ancestral.runtimes.native.lanes import LANES
from ancestral.runtimes.native.pointwise import CODES
from ancestral.runtimes.native.products import pack
from ancestral.runtimes.native.registers import Part, Plan
from ancestral.runtimes.native.storage import NOWHERE, Array, Operand, kept, padded, zeros

LINE = 16  # elements that memory is given out in: a cache line at least


class Unsupported(Exception):
    """What this runtime does not compute; the reference runtime does."""


class Weights:
    """A program's weights, packed once for all running batches of a process."""

    def __init__(self, constants: Mapping[str, Tensor], dtype: np.dtype[Any]) -> None:
        self.constants, self.dtype = constants, dtype
        self._kept: dict[Any, Array] = {}
        # the weights, their padding to whole vectors, and biases; memory is taken as it is filled
        tensors = [t for t in constants.values() if isinstance(t, Tensor)]
        total = sum(t.numel() for t in tensors if t.is_floating_point())
        self._room: Array = zeros((2 * total + 2**16,), dtype)

    def array(self, name: str) -> Array:
        """A weight as numpy has it, of the runtime's type."""
        found: Array = self.constants[name].detach().cpu().numpy().astype(self.dtype)
        return found

    def once(self, key: Any, make: Any) -> Array:
        """Memory that `make` fills, the first time that `key` is asked for.

        In the order of asking, which is that of execution: weights are read as one stream.
        """
        if key not in self._kept:
            made = np.asarray(make())
            size = -(-made.size // LINE) * LINE
            if made.size <= self._room.size:
                place, self._room = self._room[: made.size], self._room[size:]
                self._kept[key] = place.reshape(made.shape)
                self._kept[key][...] = made
            else:
                self._kept[key] = kept(made, self.dtype)
        return self._kept[key]

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self._kept.values())


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


class Lowering:
    """Builds the tables for a number of slots; the rules of `kinds` call its methods."""

    def __init__(
        self,
        program: StepProgram,
        plan: Plan,
        weights: Weights,
        slots: int,
        rings: Mapping[str, RingStore],
        tables: Mapping[int, Array],
        keys: Mapping[str, Array],
    ) -> None:
        self.program, self.plan, self.weights, self.slots = program, plan, weights, slots
        self.rings, self.tables, self.keys = rings, tables, keys
        self.dtype = weights.dtype
        self.size = self.dtype.itemsize
        self.steps = {s.name: s for s in program.steps}
        self.operations: list[list[int]] = []
        self.links: list[list[int]] = []
        self.memory: list[Array] = []
        self.most_segments = 1
        self.most_scratch = 64
        self._numbers: dict[tuple[float, int], Array] = {}
        self._registers: dict[str, tuple[Operand, int]] = {}
        self._free: dict[int, list[int]] = defaultdict(list)
        self._temporary: list[tuple[int, int]] = []
        self._step = program.steps[0]

    # ------------------------------------------------------------------ building

    def build(self) -> None:
        """Lower every part; afterwards `operations`, `starts`, `ends` and `links` are the tables.

        Raises Unsupported naming the step that has no rule.
        """
        from ancestral.runtimes.native.kinds import lower

        subs = self.program.subs
        self.starts = [0] * (subs + 3)
        for at, part in enumerate(self.plan.parts):
            self._step = part.step
            first = len(self.operations)
            lower(self, part)
            self._guard(part.step, first)
            self._refill(part)
            self._release(at)
            for later in range(part.sub + 2, subs + 3):
                self.starts[later] = len(self.operations)
        params = self._params()
        codes = self.rings[self.program.steps[0].name].operand()
        self.ends = [self._operation(0, out=params), self._operation(0, out=codes)]

    def _params(self) -> Operand:
        read = self.program.params
        step = self.steps[read.source]
        self._step = step
        ((operand, _),) = self.segments(read, step)
        if operand is None:
            raise Unsupported("params that are gathered")
        return operand

    def _guard(self, step: Step, first: int) -> None:
        """Nothing is computed at columns outside a value's extent."""
        if step.space != "grid" or step.phase == "row":
            return
        low, high = step.lead[1], step.lead[1] + step.extent[1]
        for operation in self.operations[first:]:
            operation[f.LOW], operation[f.HIGH] = low, high

    def _refill(self, part: Part) -> None:
        """Put the fill where a slot has not yet reached the value's first element."""
        step = part.step
        flat = step.space == "flat"
        lead = step.lead[1] if flat else step.lead[0]
        if step.ring is None or lead <= 0:
            return
        fill = self.fill(step)
        first = len(self.operations)
        self.emit(
            f.REFILL, self.place(step), fill, code=0 if flat else 1, count=step.payload, extra=lead
        )
        self._guard(step, first)

    def fill(self, step: Step) -> Operand:
        """What stands outside a value's extent."""
        if isinstance(step.fill, Table):
            return self.table(step.fill, step, None)
        return self.number(float(step.fill), step.payload)

    # ------------------------------------------------------------------ registers

    def columns(self) -> int:
        """Columns of the row that the step at hand computes; 0 where it computes one site."""
        return self._step.extent[1] if self._step.phase == "row" else 0

    def temporary(self, count: int) -> Operand:
        """Room for a result that the step at hand alone needs."""
        operand, total = self._take(count)
        self._temporary.append((operand.base, total))
        return operand

    def _take(self, count: int) -> tuple[Operand, int]:
        width, columns = padded(count), max(self.columns(), 1)
        total = width * columns
        if self._free[total]:
            base = self._free[total].pop()
        else:
            self.memory.append(zeros((self.slots, total), self.dtype))
            base = self.memory[-1].ctypes.data
        column = width * self.size if self.columns() else 0
        return Operand(base, total * self.size, column), total

    def place(self, step: Step) -> Operand:
        """Where the result of a step belongs."""
        ring = self.rings.get(step.name)
        if ring is not None:
            if step.space == "flat" or step.phase == "row":
                return ring.operand()
            return ring.operand(0, -step.lead[1])
        if step.name not in self._registers:
            self._registers[step.name] = self._take(step.payload)
        return self._registers[step.name][0]

    def now(self, name: str) -> Operand:
        """This site's result of a step, seen through steps that are but another name."""
        first = 0
        while name in self.plan.alias:
            name, start = self.plan.alias[name]
            first += start
        return self.place(self.steps[name]).moved(first * self.size)

    def _release(self, at: int) -> None:
        for base, total in self._temporary:
            self._free[total].append(base)
        self._temporary.clear()
        for name in [n for n in self._registers if self.plan.last_use.get(n, math.inf) <= at]:
            operand, total = self._registers.pop(name)
            self._free[total].append(operand.base)

    # ------------------------------------------------------------------ operands

    def segments(
        self, read: Read, step: Step, elements: Ints | None = None
    ) -> list[tuple[Operand | None, Any]]:
        """A read's taps, each as an operand and its length.

        Where the elements are no run: (None, (operand, elements)), to be gathered.
        """
        source = self.steps[read.source]
        found: list[tuple[Operand | None, Any]] = []
        pmap = read.pmap
        if elements is not None:
            pmap = elements if pmap is None else pmap[elements]
        for lag, offset in read.taps:
            operand = self._tap(read, source, step, lag, offset)
            if pmap is None:
                found.append((operand, source.payload))
                continue
            first, count = int(pmap[0]), pmap.size
            if (pmap == np.arange(first, first + count)).all():
                found.append((operand.moved(first * self.size), count))
            else:
                found.append((None, (operand, pmap)))
        return found

    def _tap(self, read: Read, source: Step, step: Step, lag: int, offset: int) -> Operand:
        if read.direct:
            return self.now(read.source)
        ring = self.rings[source.name]
        if source.space == "flat":
            return ring.operand(lag)
        if step.space == "flat":
            whole = ring.operand(lag)
            return Operand(
                whole.base, whole.slot, whole.column, f.WRAP, whole.place, lag, whole.phase, offset
            )
        return ring.operand(lag, offset)

    def runs(
        self, read: Read, step: Step, elements: Ints | None = None
    ) -> list[tuple[Operand, int]]:
        """The same, gathered where need be."""
        found = []
        for operand, count in self.segments(read, step, elements):
            if operand is not None:
                found.append((operand, count))
                continue
            source, index = count
            held = self.temporary(index.size)
            self.emit(f.GATHER, held, source, count=index.size, extra=self.indices(index))
            found.append((held, index.size))
        return found

    def operand(self, given: Any, step: Step, elements: Ints | None, count: int) -> Operand:
        """An operand of a step as one run of `count` elements."""
        if isinstance(given, Read):
            found = self.runs(given, step, elements)
            if len(found) == 1:
                return found[0][0]
            held = self.temporary(sum(size for _, size in found))
            self.join(held, found)
            return held
        if isinstance(given, Table):
            return self.table(given, step, elements)
        if isinstance(given, Absent):
            return self.number(0.0, count)
        if isinstance(given, (bool, int, float)):
            return self.number(float(given), count)
        raise Unsupported(f"an operand {given!r}")

    def join(self, out: Operand, parts: Sequence[tuple[Operand, int]]) -> None:
        """Runs one behind the other."""
        at = 0
        for operand, count in parts:
            self.put(out, at, operand, count)
            at += count

    def put(self, out: Operand, at: int, operand: Operand, count: int) -> None:
        """Copy a run to the elements from `at` on; what lies behind it is to be written later.

        Whole vectors stay within a result's memory where they begin at a vector's place.
        """
        place = out.moved(at * self.size)
        if at % LANES:
            self.emit(f.COPY, place, operand, count=count)
        else:
            self.apply("copy", place, operand, count=count)

    def table(self, table: Table, step: Step, elements: Ints | None) -> Operand:
        """A table's entry at the slots' own sites."""
        array = self.tables[id(table)]
        if "key" in table.axes:
            raise Unsupported("a table over keys")
        axes = [k for k in ("row", "col", "flat") if k in table.axes]
        item = table.fixed.item
        strides = array.strides[1:] if item else array.strides
        slot = array.strides[0] if item else 0
        row_lead, col_lead = step.lead
        found = Operand(array.ctypes.data, slot)
        if axes == ["flat"] and step.space == "flat":
            found = Operand(found.base, slot, 0, f.BY_RANK, strides[0], col_lead)
        elif axes:
            row, column = 0, 0
            if axes == ["flat"]:  # a raster table met on the grid
                row, column = self.program.columns * strides[0], strides[0]
            else:
                row = strides[axes.index("row")] if "row" in axes else 0
                column = strides[axes.index("col")] if "col" in axes else 0
            moved = 0 if step.phase == "row" else col_lead * column
            found = Operand(found.base - moved, slot, column, f.BY_ROW, row, row_lead)
        if elements is None:
            return found
        first = int(elements[0])
        if (elements == np.arange(first, first + elements.size)).all():
            return found.moved(first * self.size)
        held = self.temporary(elements.size)
        self.emit(f.GATHER, held, found, count=elements.size, extra=self.indices(elements))
        return held

    def number(self, value: float, count: int) -> Operand:
        """A number in every element, the same for all slots and columns."""
        key = (value, padded(count))
        if key not in self._numbers:
            self._numbers[key] = zeros((padded(count),), self.dtype)
            self._numbers[key][:] = value
        return Operand(self._numbers[key].ctypes.data)

    def indices(self, index: Ints) -> int:
        """The address of 64-bit integers."""
        self.memory.append(kept(np.asarray(index), np.int64))
        return int(self.memory[-1].ctypes.data)

    # ------------------------------------------------------------------ operations

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
        size = sum(count for _, count in segments)
        packed = self.weights.once((*key, "matrix"), lambda: pack(matrix()))
        panels = packed.size // (size * LANES)
        wide = panels * LANES

        def padded_bias() -> Array:
            found = np.zeros(wide, dtype=self.dtype)
            given = bias()
            if given is not None:
                found[: given.size] = given
            return found

        offset = self.weights.once((*key, "bias"), padded_bias)
        links = [[*self._plain(operand, count).integers, count] for operand, count in segments]
        operation = self.emit(f.PRODUCT, out, self._plain(added, wide))
        head = [len(self.links), len(segments), packed.ctypes.data, size, panels]
        head += [offset.ctypes.data, 0, 0]
        operation[f.Y : f.Y + f.OPERAND] = head
        self.links += links
        self.most_segments = max(self.most_segments, len(segments))

    def _plain(self, operand: Operand, count: int) -> Operand:
        """Products take rows at equal distances: what differs from slot to slot is copied first."""
        if operand.mode not in (f.BY_RANK, f.BY_ROW):
            return operand
        held = self.temporary(count)
        self.apply("copy", held, operand, count=count)
        return held

    def scattered(self, part: Part) -> Operand:
        """Where a part's elements are to be written: their place, or room until `settle`."""
        if part.elements is None:
            return self.place(part.step)
        return self.temporary(part.elements.size)

    def settle(self, part: Part, found: Operand) -> None:
        """Put a part's elements where they belong."""
        if part.elements is not None:
            index = self.indices(part.elements)
            place = self.place(part.step)
            self.emit(f.SCATTER, place, found, count=part.elements.size, extra=index)
