"""What a step reads, as operands of operations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ancestral.compile.place import Ints, Table
from ancestral.compile.program import StepProgram
from ancestral.compile.step import Absent, Read, Step
from ancestral.runtimes.keys import KeyCaches
from ancestral.runtimes.native import fields as f
from ancestral.runtimes.native.code.lanes import LANES
from ancestral.runtimes.native.lower.errors import Unsupported
from ancestral.runtimes.native.lower.operations import Operations
from ancestral.runtimes.native.lower.plan import Plan
from ancestral.runtimes.native.lower.rings import RingStore
from ancestral.runtimes.native.lower.weights import Weights
from ancestral.runtimes.native.storage import Array, Operand, padded


class Operands(Operations):
    """Finds the operands behind reads of other steps, tables and numbers."""

    def __init__(
        self,
        program: StepProgram,
        plan: Plan,
        weights: Weights,
        slots: int,
        rings: Mapping[str, RingStore],
        tables: Mapping[int, Array],
        keys: KeyCaches | None,
    ) -> None:
        super().__init__(program, plan, weights, slots, rings)
        self.program, self.tables, self.keys = program, tables, keys
        self.listed: dict[tuple[int, int], tuple[int, ...]] = {}  # see `attend.keys_of`

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

    def most_keys(self, step: Step) -> int:
        """The most keys that a query of a keyed step reads, in whole vectors."""
        assert self.keys is not None
        places = self.keys.places(step)
        return padded(self.keys.capacity if places is None else places.pattern.keys.shape[1])

    def keyed(self, step: Step) -> Operand:
        """A register over keys, a run for each head."""
        place = self.place(step)
        return replace(place, aux=self.lengths[step.name] // step.payload * self.size)

    def over_keys(self, table: Table, step: Step) -> Operand:
        """The row of a table over keys that belongs to the slots' own queries."""
        array = self.tables[id(table)]
        axes = [k for k in ("row", "col", "flat") if k in table.axes]
        if axes not in ([], ["flat"]):
            raise Unsupported("a table over keys that is not by raster rank")
        slot = array.strides[0] if table.fixed.item else 0
        head = array.strides[-2] if array.shape[-2] > 1 else 0
        if not axes:
            return Operand(array.ctypes.data, slot, aux=head)
        query = array.strides[-3]
        return Operand(
            array.ctypes.data, slot, mode=f.BY_RANK, place=query, lag=step.lead[1], aux=head
        )
