"""Batches depend on the seed and the step alone."""

from __future__ import annotations

import numpy as np
import torch

from ancestral.train.batches import Batches
from ancestral.train.datasets import Split

FIXED = Split(np.arange(10)[:, None], (np.arange(10) * 2,))
OPEN = Split([np.full(size, size) for size in range(1, 21)], (np.arange(1, 21),))


def test_an_epoch_holds_every_item_once() -> None:
    batches = Batches(FIXED, 5, seed=1)
    assert batches.per_epoch == 2
    first = torch.cat([batches[step][0] for step in (0, 1)]).flatten()
    second = torch.cat([batches[step][0] for step in (2, 3)]).flatten()
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(10))
    assert first.tolist() != second.tolist()
    codes, (labels,), weights = batches[0]
    assert torch.equal(labels, 2 * codes[:, 0])
    assert weights.shape == ()


def test_any_step_can_be_the_first() -> None:
    walked = Batches(FIXED, 3, seed=4)
    for step in range(7):
        walked[step]
    assert torch.equal(walked[7][0], Batches(FIXED, 3, seed=4)[7][0])
    assert not torch.equal(walked[7][0], Batches(FIXED, 3, seed=5)[7][0])


def test_sounds_are_cut_padded_and_weighted() -> None:
    batches = Batches(OPEN, 4, seed=0, longest=12, silence=3, pad=99)
    lengths: list[int] = []
    for step in range(batches.per_epoch):
        codes, (labels,), weights = batches[step]
        for row, size in enumerate(labels.tolist()):
            kept = min(size, 12)
            lengths.append(size)
            assert codes[row, :kept].tolist() == [size] * kept
            assert (codes[row, kept:] == 99).all()
            assert weights[row].tolist()[: kept + 3] == [1.0] * (kept + 3)
            assert (weights[row, kept + 3 :] == 0).all()
    assert sorted(lengths) == list(range(1, 21))
