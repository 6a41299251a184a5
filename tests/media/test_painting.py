from __future__ import annotations

import io
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from ancestral.media import Levels, MediaError, encode_gif

RANKS = np.arange(6).reshape(2, 3)


def frames(body: bytes) -> list[np.ndarray]:
    with Image.open(io.BytesIO(body)) as picture:
        found = []
        for index in range(picture.n_frames):  # type: ignore[attr-defined]
            picture.seek(index)
            found.append(np.asarray(picture.convert("L")))
        return found


def test_pixels_appear_in_their_order_and_stay() -> None:
    item = np.array([[[0, 3, 0], [3, 0, 3]]])
    scale = 107  # 3 columns become at least 320 pixels
    found = frames(encode_gif([item], [RANKS[::-1, ::-1]], Levels(4)))
    assert found[0].shape == (2 * scale, 3 * scale)
    shown = [frame[scale // 2 :: scale, scale // 2 :: scale] for frame in found]
    assert (shown[0] == 128).all()
    assert (shown[-1] == item[0] * 85).all()
    for earlier, later in pairwise(shown):
        drawn = earlier != 128
        assert (later[drawn] == earlier[drawn]).all()
    half = shown[len(shown) // 2]
    assert half.tolist() == [[128, 128, 128], [255, 0, 255]]  # the last row comes first


def test_what_has_no_picture() -> None:
    with pytest.raises(MediaError, match=r"no PNG"):
        encode_gif([np.zeros((2, 2, 3), np.int64)], [RANKS], Levels(4))
