"""Items to learn from or to test on, each with its conditions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

Array = npt.NDArray[Any]


class DataError(ValueError):
    """Data that cannot be learnt from; the message names the file or folder."""


@dataclass(frozen=True)
class Series:
    """A condition over time: float32 [C, F] of each item, a value for every `hop` sites."""

    values: Sequence[Array]
    hop: int

    def __getitem__(self, index: npt.NDArray[np.int64]) -> Series:
        """Those of the items of those numbers."""
        return Series([self.values[i] for i in index], self.hop)

    def parts(self, pieces: Sequence[tuple[int, int]], sites: int) -> Series:
        """The values of so many sites from (item, first site) on."""
        frames = sites // self.hop
        starts = [(item, first // self.hop) for item, first in pieces]
        return Series([self.values[i][:, a : a + frames] for i, a in starts], self.hop)

    def frames(self, index: npt.NDArray[np.int64], sites: int | None) -> npt.NDArray[np.float32]:
        """Values [B, C, F] of items of so many sites, cut there; the last one goes on beyond."""
        count = -(-sites // self.hop) if sites is not None else self.values[index[0]].shape[1]
        cut = [self.values[i][:, :count] for i in index]
        full = [np.pad(v, ((0, 0), (0, count - v.shape[1])), mode="edge") for v in cut]
        return np.stack(full).astype(np.float32)


@dataclass(frozen=True)
class Split:
    """Items as codes (arrays of the canonical shape, small integers) or real values.

    `conditions` are those of the recipe, in its order: a label of each item, or a series.
    """

    items: Sequence[Array] | Array
    conditions: tuple[npt.NDArray[np.int64] | Series, ...] = ()

    def __len__(self) -> int:
        return len(self.items)

    @property
    def hop(self) -> int:
        """Sites after which every series has a whole number of values."""
        return math.lcm(*(c.hop for c in self.conditions if isinstance(c, Series)))

    def take(self, index: Sequence[int] | npt.NDArray[np.int64]) -> Split:
        """The items of those numbers."""
        chosen = np.asarray(index, dtype=np.int64)
        return Split([self.items[i] for i in chosen], tuple(c[chosen] for c in self.conditions))

    def conditions_of(
        self, index: Sequence[int] | npt.NDArray[np.int64], sites: int | None = None
    ) -> tuple[torch.Tensor, ...]:
        """Of those items: labels int64 [B], series float32 [B, C, F], of that many sites each."""
        chosen = np.asarray(index, dtype=np.int64)
        return tuple(
            torch.from_numpy(c.frames(chosen, sites) if isinstance(c, Series) else c[chosen])
            for c in self.conditions
        )

    def batch(
        self, index: Sequence[int], longest: int | None = None
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """Codes int64 [B, …] of items of one size, or real values; and their conditions.

        Items of open length are cut at `longest` sites, or where a series' value ends before.
        """
        codes = np.stack([self.items[i] for i in index])
        sites = codes.shape[-1] if codes.ndim == 2 else None
        if sites is not None and longest is not None and longest < sites:
            sites = longest // self.hop * self.hop
            codes = codes[:, :sites]
        codes = codes.astype(np.float32 if codes.dtype.kind == "f" else np.int64)
        return torch.from_numpy(codes), self.conditions_of(index, sites)

    def windows(self, sites: int) -> Split:
        """Items of open length in pieces of that many sites, each with its own part of a series.

        What is left at the end of an item is dropped; labels are those of the item. Raises
        DataError where a piece would not hold a whole number of a series' values.
        """
        if sites % self.hop:
            raise DataError(f"windows of {sites} sites do not fit series at a hop of {self.hop}")
        pieces = [
            (number, first)
            for number, item in enumerate(self.items)
            for first in range(0, len(item) - sites + 1, sites)
        ]
        owners = np.array([number for number, _ in pieces], dtype=np.int64)
        return Split(
            [self.items[number][first : first + sites] for number, first in pieces],
            tuple(
                c.parts(pieces, sites) if isinstance(c, Series) else c[owners]
                for c in self.conditions
            ),
        )

    def runs(self, count: int, most: int) -> Iterator[tuple[int, int]]:
        """(first, size) of consecutive items of one shape among the first `count`."""
        first = 0
        while first < count:
            end = first + 1
            shape = self.items[first].shape
            while end < min(count, first + most) and self.items[end].shape == shape:
                end += 1
            yield first, end - first
            first = end
