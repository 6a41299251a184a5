from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from ancestral.media import MediaError, from_array, from_nested, known_from_nested
from ancestral.models.data import DataSpec

IMAGE = DataSpec(kind="image", shape=(1, 2, 3), levels=4, sample_rate=None)
COLOUR = DataSpec(kind="image", shape=(3, 1, 1), levels=256, sample_rate=None)
AUDIO = DataSpec(kind="audio", shape=(), levels=256, sample_rate=8000)
VECTOR = DataSpec(kind="vector", shape=(2,), levels=None, sample_rate=None)


def test_items() -> None:
    item, steps = from_nested([[0, 1, 2], [3, 2, 1]], IMAGE)
    assert item.tolist() == [[[0, 1, 2], [3, 2, 1]]]
    assert item.dtype == np.int64
    assert steps == []
    assert from_nested([[[0, 1, 2], [3, 2, 1]]], IMAGE)[0].shape == (1, 2, 3)
    assert from_nested([[[1]], [[2]], [[3]]], COLOUR)[0].shape == (3, 1, 1)
    assert from_nested([5, 255, 0.0], AUDIO)[0].tolist() == [5, 255, 0]
    real, _ = from_nested([1, -2.5], VECTOR)
    assert real.dtype == np.float64


@pytest.mark.parametrize(
    ("nested", "data", "message"),
    [
        ([[0, 1], [2, 3]], IMAGE, r"shape \[2, 2\] where \[1, 2, 3\] is expected"),
        ([[0, 1, 2], [3]], IMAGE, "ragged"),
        ([[0, 1, 2], 3], IMAGE, "ragged"),
        ([[0, 1, 2], [3, 2, 4]], IMAGE, r"value 4 at \[0, 1, 2\] lies outside 0\.\.3"),
        ([[0, 1, 2], [3, 2, -1]], IMAGE, "value -1"),
        ([[0, 1, 2], [3, 2, True]], IMAGE, "True is not a number"),
        ([[0, 1, 2], [3, 2, "1"]], IMAGE, "'1' is not a number"),
        ([[0, 1, 2], [3, 2, None]], IMAGE, "None is not a number"),
        ([[0, 1, 2], [3, 2, {}]], IMAGE, "is not a number"),
        ([[0, 1, 2], [3, 2, 0.5]], IMAGE, r"value 0.5 at \[0, 1, 2\] is no whole code"),
        ([[0, 1, 2], [3, 2, math.nan]], IMAGE, "is not finite"),
        ([[0, 1, 2], [3, 2, 10**30]], IMAGE, "too large"),
        ([1e300], AUDIO, "lies outside"),
        ([], AUDIO, "empty"),
        ([[1]], AUDIO, r"\[T\]"),
        (3, AUDIO, "not a list"),
        ("abc", AUDIO, "not a list"),
        ([math.inf, 0], VECTOR, "not finite"),
        ([], VECTOR, r"shape \[0\] where \[2\]"),
        ([[[[[[[[[[1]]]]]]]]]], AUDIO, "deeper"),
    ],
)
def test_mismatches(nested: Any, data: DataSpec, message: str) -> None:
    with pytest.raises(MediaError, match=message):
        from_nested(nested, data)


def test_fit_rounds() -> None:
    item, steps = from_nested([0.4, 254.6], AUDIO, fit=True)
    assert item.tolist() == [0, 255]
    assert steps == ["rounded to whole codes"]
    with pytest.raises(MediaError, match="outside"):
        from_nested([255.6], AUDIO, fit=True)


def test_arrays_of_any_number_type() -> None:
    assert from_array(np.array([True, False]), AUDIO)[0].tolist() == [1, 0]
    assert from_array(np.array([3], dtype=np.uint8), AUDIO)[0].dtype == np.int64
    with pytest.raises(MediaError, match="outside"):
        from_array(np.array([2**64 - 1], dtype=np.uint64), AUDIO)


def test_partial_knowledge() -> None:
    item, mask = known_from_nested([[0, None, 2], [None, None, 3]], IMAGE)
    assert mask.tolist() == [[[True, False, True], [False, False, True]]]
    assert item.tolist() == [[[0, 0, 2], [0, 0, 3]]]
    with pytest.raises(MediaError, match="outside"):
        known_from_nested([[0, None, 9], [None, None, 3]], IMAGE)
    with pytest.raises(MediaError, match="ragged"):
        known_from_nested([[0, None, 9], None], IMAGE)
