"""The addresses of a site's reads and writes in the rings, all computed at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ancestral.compile.step import Step
from ancestral.runtimes.straight.state import Where


class Addresses:
    """Places in rings of [slots · length · width] rows, one group for each read or write.

    Element (lag, offset) of a ring is row
    slot · length · width + ((clock − lag) mod length) · width + column + offset.
    Every group's are columns of one matrix [n, K]: a handful of operations for all of a site,
    however many reads it has.
    """

    def __init__(self, device: torch.device, *, moving: bool) -> None:
        self._device, self._moving = device, moving  # moving: with the column
        self._rows: list[tuple[int, int, int, int, int]] = []
        self._sizes: list[int] = []
        self._known: dict[tuple[tuple[int, ...], ...], int] = {}
        self._vectors: tuple[Tensor, ...] = ()

    def add(self, source: Step, length: int, taps: Sequence[tuple[int, int]]) -> int:
        """The number of the group that reads (lag, offset) of a step's ring of that length."""
        ring = source.ring
        assert ring is not None
        grid = source.space == "grid"
        width = ring.left + source.extent[1] + ring.right if grid else 1
        rows = tuple(
            (lag, length, width, ring.left + offset if grid else 0, int(grid))
            for lag, offset in taps
        )
        if rows not in self._known:
            self._known[rows] = len(self._sizes)
            self._rows += rows
            self._sizes.append(len(rows))
        return self._known[rows]

    def seal(self) -> None:
        """To be called when all groups are known."""
        table = np.array(self._rows, dtype=np.int64).reshape(-1, 5).T
        lag, length, width, shift, grid = (
            torch.from_numpy(c.copy()).to(self._device) for c in table
        )
        self._vectors = (lag, length, width, shift, grid, length * width, width - 1, grid > 0)

    def pieces(self, at: Where) -> tuple[Tensor, ...]:
        """The groups' addresses, [n, taps] each."""
        if not self._rows:
            return ()
        lag, length, width, shift, grid, places, last, is_grid = self._vectors
        kinds = {row[4] for row in self._rows}
        if kinds == {0, 1}:
            clock = torch.where(is_grid, at.row_clock, at.clock)
        else:
            clock = at.row_clock if 1 in kinds else at.clock
        inside = torch.remainder(clock - lag, length)
        if 1 in kinds:
            column = shift + at.column * grid if self._moving else shift
            # what lies outside is computed and not used
            inside = inside * width + torch.minimum(column.clamp_min(0), last)
        index = at.slot[:, None] * places + inside
        return torch.split(index, self._sizes, 1) if len(self._sizes) > 1 else (index,)
