"""Batches that depend on the recipe's seed and the step alone, so that a run can be resumed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from ancestral.train.datasets import Split

POOL = 32  # batches whose items of open length are sorted together, to need little padding


class Batches:
    """The batch of every step: an epoch is a permutation seeded by (seed, epoch).

    Items of open length are cut at `longest`, padded with `pad` and weighted: one within the item
    and for `silence` sites after its end, zero beyond. A series keeps its last value there.
    """

    def __init__(
        self,
        split: Split,
        size: int,
        seed: int,
        *,
        longest: int | None = None,
        silence: int = 0,
        pad: int = 0,
    ) -> None:
        self._split, self._size, self._seed = split, min(size, len(split)), seed
        self._longest, self._silence, self._pad = longest, silence, pad
        self.per_epoch = len(split) // self._size
        self._epoch = -1
        self._order: list[npt.NDArray[np.int64]] = []
        self._open = split.items[0].ndim == 1 and longest is not None

    def __getitem__(self, step: int) -> tuple[torch.Tensor, tuple[torch.Tensor, ...], torch.Tensor]:
        """Codes [B, …], conditions, and weights of the sites that broadcast against them."""
        epoch, place = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self._epoch_order(epoch)
        index = self._order[place]
        if not self._open:
            codes, conditions = self._split.batch(index.tolist())
            return codes, conditions, torch.ones(())
        items = [self._split.items[i][: self._longest] for i in index]
        length = max(len(item) for item in items) + self._silence
        length = -(-length // self._split.hop) * self._split.hop
        codes = torch.full((len(items), length), self._pad, dtype=torch.int64)
        weights = torch.zeros(len(items), length)
        for row, item in enumerate(items):
            codes[row, : len(item)] = torch.from_numpy(item.astype(np.int64))
            weights[row, : len(item) + self._silence] = 1
        return codes, self._split.conditions_of(index, length), weights

    def _epoch_order(self, epoch: int) -> list[npt.NDArray[np.int64]]:
        generator = np.random.default_rng([self._seed, epoch])
        order = generator.permutation(len(self._split))[: self.per_epoch * self._size]
        if self._open:
            lengths = np.array([len(item) for item in self._split.items])[order]
            pools = np.arange(len(order)) // (POOL * self._size)
            order = order[np.lexsort((lengths, pools))]
        batches = order.reshape(self.per_epoch, self._size)
        return list(generator.permutation(batches)) if self._open else list(batches)
