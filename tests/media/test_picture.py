from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from ancestral.media import Levels, MediaError, Palette, encode_png, heat_map_png
from ancestral.media.image import read_image
from ancestral.media.picture import colour_table


def opened(body: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(body)))


def test_one_item_is_the_image_itself() -> None:
    codes = np.random.default_rng(0).integers(0, 256, (3, 5, 7))
    pixels, _ = read_image(encode_png([codes], Levels()), 3, 5, 7, fit=False)
    assert (pixels == codes).all()


def test_several_items_are_a_grid() -> None:
    items = [np.full((1, 4, 6), level) for level in range(5)]
    sheet = opened(encode_png(items, Levels(5)))
    assert sheet.shape == (2 * 6 - 2, 3 * 8 - 2)
    assert sheet[0, [0, 8, 16]].tolist() == [0, 64, 128]
    assert sheet[6, [0, 8]].tolist() == [191, 255]
    assert opened(encode_png(items, Levels(5), columns=5)).shape == (4, 5 * 8 - 2)


def test_palette_items() -> None:
    codec = Palette(((1, 2, 3), (4, 5, 6)))
    assert opened(encode_png([np.array([[[0, 1]]])], codec)).tolist() == [[[1, 2, 3], [4, 5, 6]]]


def test_what_has_no_picture() -> None:
    with pytest.raises(MediaError, match="no items"):
        encode_png([], Levels())
    with pytest.raises(MediaError, match=r"\[2, 1, 1\]"):
        encode_png([np.zeros((2, 1, 1), dtype=np.int64)], Levels())


def test_lightness_of_the_colour_table_rises() -> None:
    """By CIE L* of sRGB (IEC 61966-2-1, D65): another measure than the one that made the table."""
    rgb = colour_table() / 255.0
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    luminance = linear @ np.array([0.2126, 0.7152, 0.0722])
    lightness = 116 * np.cbrt(np.maximum(luminance, 1e-9)) - 16
    smooth = np.convolve(lightness, np.ones(8) / 8, "valid")
    assert (np.diff(smooth) > 0).all()
    assert len(np.unique(colour_table(), axis=0)) > 240


def test_surprising_sites_are_bright() -> None:
    log_prob = np.full((3, 4, 4), -0.1)
    log_prob[:, 2, 1] = -9.0
    shown = opened(heat_map_png(log_prob)).astype(int).sum(axis=-1)
    assert shown.shape == (4, 4)
    assert np.unravel_index(shown.argmax(), shown.shape) == (2, 1)
    fixed = opened(heat_map_png(log_prob, limits=(0.3, 27.0)))
    assert (fixed[0, 0] == colour_table()[0]).all()
    assert (fixed[2, 1] == colour_table()[255]).all()


def test_sounds_are_strips() -> None:
    log_prob = np.zeros(5000)
    log_prob[4000:] = -5.0
    shown = opened(heat_map_png(log_prob))
    assert shown.shape == (64, 1024, 3)
    assert shown[0, 100].sum() < shown[0, 1000].sum()
    assert opened(heat_map_png(np.array([-1.0, -2.0]))).shape == (64, 2, 3)


def test_impossible_values_are_the_brightest() -> None:
    log_prob = np.full((1, 2, 2), -1.0)
    log_prob[0, 0, 0] = -np.inf
    shown = opened(heat_map_png(log_prob, limits=(0, 2)))
    assert (shown[0, 0] == colour_table()[255]).all()


def test_bad_maps() -> None:
    with pytest.raises(MediaError, match="no heat map"):
        heat_map_png(np.zeros((2, 2)))
    with pytest.raises(MediaError, match="not ascending"):
        heat_map_png(np.zeros((1, 2, 2)), limits=(1, 1))
