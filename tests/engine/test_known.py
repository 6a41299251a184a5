from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ancestral.engine.known import KnownError, known_by_site
from ancestral.models.data import DataSpec

IMAGE = DataSpec(kind="image", shape=(2, 2, 2), levels=4)
AUDIO = DataSpec(kind="audio", shape=(), levels=256, sample_rate=8000)


def test_nothing_known() -> None:
    assert known_by_site(IMAGE, None, 4) == (None, None)


def test_prefix_fills_the_first_sites() -> None:
    values, mask = known_by_site(IMAGE, None, 4, prefix=[[1, 2], [3, 0]])
    assert values is not None
    assert mask is not None
    assert values.tolist() == [[1, 2], [3, 0], [0, 0], [0, 0]]
    assert mask.tolist() == [[True, True], [True, True], [False, False], [False, False]]
    values, mask = known_by_site(AUDIO, None, 3, prefix=[5])
    assert values is not None
    assert values.dtype == np.int64
    assert values.tolist() == [[5], [0], [0]]


def test_known_image_is_laid_out_by_pixel_and_order() -> None:
    # Channel 0 holds 0..3 by pixel; of channel 1 only the last pixel is known.
    known = [[[0, 1], [2, 3]], [[None, None], [None, 1]]]
    values, mask = known_by_site(IMAGE, None, 4, known=known)
    assert values is not None
    assert mask is not None
    assert values.tolist() == [[0, 0], [1, 0], [2, 0], [3, 1]]
    assert mask.tolist() == [[True, False], [True, False], [True, False], [True, True]]
    reverse = np.array([3, 2, 1, 0])
    values, mask = known_by_site(IMAGE, reverse, 4, known=known)
    assert values is not None
    assert values.tolist() == [[3, 1], [2, 0], [1, 0], [0, 0]]


def test_mask_says_what_to_keep() -> None:
    known, keep = np.ones((2, 2, 2)), np.zeros((2, 2, 2), dtype=bool)
    keep[0, 1, 0] = True
    values, mask = known_by_site(IMAGE, None, 4, known=known, known_mask=keep)
    assert values is not None
    assert mask is not None
    assert values.tolist() == [[0, 0], [0, 0], [1, 0], [0, 0]]
    assert mask.sum() == 1


@pytest.mark.parametrize(
    ("arguments", "field", "words"),
    [
        ({"prefix": [[1, 2]] * 5}, "prefix", "has 5 sites; the item has 4"),
        ({"prefix": [1, 2]}, "prefix", r"has shape \[2\]; \[n, 2\] is expected"),
        ({"prefix": [[1, 4]]}, "prefix", "holds 1 to 4; levels 0 to 3"),
        ({"prefix": [[1, 0.5]]}, "prefix", "holds fractions"),
        ({"prefix": [[1, None]]}, "prefix", "not finite"),
        ({"prefix": [["a", "b"]]}, "prefix", "not an array of numbers"),
        ({"known": np.zeros((2, 2))}, "known", r"\[2, 2\]; \[2, 2, 2\] is expected"),
        ({"known": np.full((2, 2, 2), -1.0)}, "known", "holds -1 to -1"),
        ({"known": np.zeros((2, 2, 2)), "known_mask": [True]}, "known_mask", r"\[1\]"),
        ({"known_mask": np.ones((2, 2, 2))}, "known", "is missing"),
        ({"prefix": [[0, 0]], "known": np.zeros((2, 2, 2))}, "prefix", "one of them"),
    ],
)
def test_errors_name_the_field(arguments: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(KnownError, match=words) as caught:
        known_by_site(IMAGE, None, 4, **arguments)
    assert caught.value.field == field
