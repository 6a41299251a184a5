"""Where the running slots stand: densely at indices 0..n−1, at a shared column and clock."""

from __future__ import annotations

import torch
from torch import Tensor


class Stand:
    """`n` running slots. Ranks (sites done) are each slot's own; the column is shared by all.

    `clock` and `row_clock` count sites and rows since the start: rings are written at them, so
    that one position serves all slots.
    """

    def __init__(self, slots: int, columns: int, grid: bool, device: torch.device) -> None:
        self.n = 0
        self.columns, self.grid, self.device = columns, grid, device
        self.column = self.clock = self.row_clock = 0
        self.ranks: list[int] = [0] * slots
        self.uniform = True  # all running slots stand at one rank
        self.rank_index = torch.zeros(0, dtype=torch.int64, device=device)

    def advance(self) -> None:
        """One site further."""
        self.clock += 1
        for i in range(self.n):
            self.ranks[i] += 1
        if not self.uniform:
            self.rank_index += 1
        if self.grid:
            self.column += 1
            if self.column == self.columns:
                self.column = 0
                self.row_clock += 1

    def settle(self) -> None:
        """Note the running slots' ranks after slots came or went."""
        running = self.ranks[: self.n]
        self.uniform = len(set(running)) <= 1
        self.rank_index = torch.tensor(running, dtype=torch.int64, device=self.device)

    def aligned(self, rank: int) -> bool:
        """Whether a slot at this rank can join now."""
        return not self.grid or self.n == 0 or rank % self.columns == self.column

    def join(self, rank: int) -> int:
        """A new slot at the end; the first of a batch sets the column."""
        at, self.n = self.n, self.n + 1
        if at == 0 and self.grid:
            self.column = rank % self.columns
        self.ranks[at] = rank
        return at

    def leave(self, at: int) -> int:
        """Take a slot out; the index of the one that moves into its place (`at` if it was last)."""
        self.n -= 1
        self.ranks[at] = self.ranks[self.n]
        return self.n

    def rank(self, offset: int) -> int | Tensor:
        """The running slots' ranks, as one number where they agree; never below zero."""
        if self.uniform:
            return max(self.ranks[0] + offset, 0)
        return (self.rank_index + offset).clamp_min(0)

    def row(self, offset: int) -> int | Tensor:
        if self.uniform:
            return max(self.ranks[0] // self.columns + offset, 0)
        return (self.rank_index // self.columns + offset).clamp_min(0)
