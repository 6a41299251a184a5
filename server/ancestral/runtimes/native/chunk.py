"""What a call of the compiled code is given and fills, and how each slot draws."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ancestral.runtimes.base import Sampling
from ancestral.runtimes.native.code.categories import FIRST
from ancestral.runtimes.native.storage import padded, zeros


@dataclass(frozen=True, slots=True)
class Chunk:
    """Sites that all running slots are to advance by, [n, sites, dims] each.

    `values` holds what is fixed and is filled with what is drawn; `nats` is filled.
    """

    values: npt.NDArray[np.float64]
    fixed: npt.NDArray[np.bool_]
    nats: npt.NDArray[np.float64]

    @staticmethod
    def of(slots: int, sites: int, channels: int) -> Chunk:
        """Nothing is fixed, nothing drawn."""
        shape = (slots, sites, max(channels, 1))
        return Chunk(np.zeros(shape), np.zeros(shape, dtype=np.bool_), np.zeros(shape))


class Draws:
    """Seeds and ways of drawing by slot, and room for one draw at a time."""

    def __init__(self, slots: int, size: int, channels: int) -> None:
        self._seeds = np.zeros(slots, dtype=np.uint64)
        self._items = np.zeros(slots, dtype=np.int64)
        self._temperatures = np.ones(slots)
        self._top_ks = np.zeros(slots, dtype=np.int64)  # 0: all
        self._top_ps = np.full(slots, 2.0)  # above 1: all
        masses = zeros((FIRST + padded(max(size, 16)),), np.float64)
        pixel, noise = np.zeros(max(channels, 1)), np.zeros((max(channels, 1), 2))
        self.arrays = (
            self._seeds, self._items, self._temperatures, self._top_ks, self._top_ps, masses,
            pixel, noise,
        )  # fmt: skip

    def set(self, at: int, seed: int, item: int, sampling: Sampling) -> None:
        """How the slot at `at` draws."""
        self._seeds[at], self._items[at] = seed, item
        self._temperatures[at] = sampling.temperature
        self._top_ks[at] = sampling.top_k or 0
        self._top_ps[at] = 2.0 if sampling.top_p is None else sampling.top_p
