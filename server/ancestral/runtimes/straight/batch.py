"""A running batch whose sites are straight lines of torch operators."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ancestral.compile.program import StepProgram
from ancestral.runtimes.cached import CachedBatch
from ancestral.runtimes.straight.lattice import StraightLattice
from ancestral.runtimes.straight.state import State, statics_of, stores_of, where_of

Draw = Callable[[int, Tensor], Tensor]


class StraightBatch(CachedBatch):
    """Runs a program's straight line on the caches of `n` slots, one site at a time."""

    def __init__(
        self,
        program: StepProgram,
        slots: int,
        dtype: torch.dtype,
        device: torch.device,
        codes: torch.dtype,
    ) -> None:
        super().__init__(program, slots, dtype, device, codes)
        self._slots = torch.arange(slots, device=device)
        self._lines: dict[frozenset[str], StraightLattice] = {}

    @property
    def line(self) -> StraightLattice:
        """The line that fits the caches: which attention is sparse may change with their length."""
        sparse = frozenset(self.caches.keys.sparse())
        if sparse not in self._lines:
            self._lines[sparse] = StraightLattice(self.caches)
        return self._lines[sparse]

    def state(self, n: int) -> State:
        """The first n slots as they stand, on views of the caches."""
        keys = torch.arange(self.caches.keys.capacity, device=self.caches.device)
        at = where_of(self.caches, n, self._slots, keys)
        return State(stores_of(self.caches, n), statics_of(self.caches, n), at, in_place=True)

    def step(self, draw: Draw) -> None:
        """One site of every running slot; `draw(sub, params)` returns the values [n, dims]."""
        state, line = self.state(self.n), self.line
        if self.stand.grid and self.stand.column == 0:
            line.row(state)
        line.site(state, draw)
        self.stand.advance()
