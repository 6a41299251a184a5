"""Series stay with their items: cut, padded and windowed at the same places."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ancestral.train import DataError
from ancestral.train.batches import Batches
from ancestral.train.splits import Series, Split

HOP = 4
LENGTHS = (8, 12, 20, 9, 12)


def clip(number: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes that count on from 100 · number, and frames that hold the first code of their hop."""
    codes = 100 * number + np.arange(length)
    starts = codes[::HOP].astype(np.float32)
    return codes, np.stack([starts, -starts])


CLIPS = [clip(number, length) for number, length in enumerate(LENGTHS)]
SPLIT = Split(
    [codes for codes, _ in CLIPS],
    (np.arange(5), Series([frames for _, frames in CLIPS], HOP)),
)


def assert_aligned(codes: torch.Tensor, series: torch.Tensor) -> None:
    assert torch.equal(codes[:, ::HOP].float(), series[:, 0])
    assert torch.equal(series[:, 0], -series[:, 1])


def test_items_are_taken_with_their_series() -> None:
    codes, (labels, series) = SPLIT.take([4, 1]).batch([0, 1])
    assert labels.tolist() == [4, 1]
    assert series.dtype == torch.float32
    assert_aligned(codes, series)


def test_a_cut_ends_with_a_whole_value() -> None:
    codes, (_, series) = SPLIT.batch([1, 4], longest=11)
    assert codes.shape == (2, 8)
    assert_aligned(codes, series)


def test_windows_share_the_series() -> None:
    windows = SPLIT.windows(8)
    assert [item[0] for item in windows.items] == [0, 100, 200, 208, 300, 400]
    codes, (labels, series) = windows.batch(range(6))
    assert labels.tolist() == [0, 1, 2, 2, 3, 4]
    assert_aligned(codes, series)
    with pytest.raises(DataError, match="windows of 6 sites do not fit series at a hop of 4"):
        SPLIT.windows(6)


def test_training_batches_pad_the_series_with_its_last_value() -> None:
    batches = Batches(SPLIT, 5, seed=0, longest=12, silence=1, pad=-1)
    codes, (labels, series), weights = batches[0]
    assert codes.shape == (5, 16)  # 12 and silence, up to a whole value
    assert series.shape == (5, 2, 4)
    for row, number in enumerate(labels.tolist()):
        own, frames = CLIPS[number]
        length = min(len(own), 12)
        kept = min(4, frames.shape[1])
        assert codes[row, :length].tolist() == own[:length].tolist()
        assert weights[row].sum() == length + 1
        assert series[row, 0, :kept].tolist() == frames[0, :kept].tolist()
        assert (series[row, 0, kept:] == frames[0, -1].item()).all()
