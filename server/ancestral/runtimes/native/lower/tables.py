"""An element program's tables, made once for all its running batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ancestral.runtimes.native import fields as f
from ancestral.runtimes.native.lower.elements import ElementLowering
from ancestral.runtimes.native.storage import Array, zeros


@dataclass(frozen=True, eq=False)
class ElementTables:
    """The tables over room for one slot; a running batch takes a copy over its own (`over`).

    `rooms` [1, elements] is what differs from batch to batch, `kept` what all refer to.
    """

    operations: Array
    ends: Array
    links: Array
    due_starts: Array
    due: Array
    most_segments: int
    most_scratch: int
    rooms: Sequence[Array]
    kept: Sequence[object]

    @staticmethod
    def of(low: ElementLowering) -> ElementTables:
        return ElementTables(
            np.array(low.operations, dtype=np.int64).reshape(-1, f.FIELDS),
            np.array(low.ends, dtype=np.int64),
            np.array(low.links, dtype=np.int64).reshape(-1, f.LINK),
            low.due_starts, low.due, low.most_segments, low.most_scratch, low.rooms,
            (low.memory, low.numbers),
        )  # fmt: skip

    def over(self, slots: int) -> tuple[Array, Array, Array, list[Array]]:
        """Operations, ends and links with addresses in rooms of so many slots, and the rooms.

        A slot's room has the same size whatever their number, so that only where it begins is
        another.
        """
        rooms = [zeros((slots, *room.shape[1:]), room.dtype) for room in self.rooms]
        begin = np.array([room.ctypes.data for room in self.rooms], dtype=np.int64)
        order = np.argsort(begin)
        begin = begin[order]
        end = begin + np.array([room.nbytes for room in self.rooms], dtype=np.int64)[order]
        other = np.array([room.ctypes.data for room in rooms], dtype=np.int64)[order]

        def placed(table: Array) -> Array:
            at = np.maximum(np.searchsorted(begin, table, side="right") - 1, 0)
            inside = (table >= begin[at]) & (table < end[at])
            found: Array = np.where(inside, table - begin[at] + other[at], table)
            return found

        return placed(self.operations), placed(self.ends), placed(self.links), rooms
