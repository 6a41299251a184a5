"""What running batches on `Caches` have in common: how slots come and go, and what they weigh."""

from __future__ import annotations

import torch
from torch import Tensor

from ancestral.compile.program import StepProgram
from ancestral.runtimes.caches import Caches


class CachedBatch:
    """The slots of a program over grids or time; how a site is stepped, subclasses say."""

    def __init__(
        self,
        program: StepProgram,
        slots: int,
        dtype: torch.dtype,
        device: torch.device,
        codes: torch.dtype,
    ) -> None:
        self.program = program
        self.caches = Caches(program, slots, dtype, device, codes)
        self.graph = self.caches.graph
        self.stand = self.caches.stand

    @property
    def n(self) -> int:
        return self.stand.n

    def settle(self) -> None:
        """To be called after slots came or went."""
        self.stand.settle()

    def aligned(self, rank: int) -> bool:
        """Whether a slot at this rank can join the batch now."""
        return self.stand.aligned(rank)

    def open(
        self, conditions: tuple[Tensor, ...], values: Tensor | None, rank: int, sites: int
    ) -> Tensor | None:
        """See `Caches.open`."""
        return self.caches.open(conditions, values, rank, sites)

    def close(self, at: int) -> None:
        """Take a slot out of the batch; the last one moves into its place."""
        self.caches.close(at)

    @property
    def weights(self) -> list[Tensor]:
        return list(self.graph.constants.values())

    def slot_bytes(self, sites: int) -> int:
        return self.caches.slot_bytes(sites)
