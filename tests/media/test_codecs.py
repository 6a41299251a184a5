from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ancestral.media import (
    Levels,
    Linear,
    MediaError,
    MuLaw,
    Palette,
    Text,
    from_config,
    lost_in_int16,
)


def test_mu_law_follows_the_published_curve() -> None:
    """ITU-T G.711's continuous law: F(x) = sgn(x) ln(1 + mu |x|) / ln(1 + mu)."""
    codec = MuLaw(mu=255, levels=256)
    for x in (-1.0, -0.3, -0.001, 0.0, 0.004, 0.5, 1.0):
        y = math.copysign(math.log(1 + 255 * abs(x)) / math.log(256), x)
        assert codec.encode(np.array([x]))[0] == math.floor((y + 1) / 2 * 255 + 0.5)
    assert codec.decode(np.array([0, 255])).tolist() == pytest.approx([-1.0, 1.0])
    # Half way up the curve: ((1 + mu)^0.5 - 1) / mu = 15 / 255.
    assert MuLaw(mu=255, levels=5).decode(np.array([3]))[0] == pytest.approx(15 / 255)


def test_floor_agrees_with_digitize() -> None:
    """The early WaveNet ports quantise by numpy.digitize over a grid of `levels` points."""
    codec = MuLaw(mu=128, levels=128, rounding="floor", decode_points="midpoints")
    x = np.random.default_rng(1).uniform(-1, 1, 5000)
    y = np.sign(x) * np.log(1 + 128 * np.abs(x)) / np.log(129)
    expected = np.digitize(y, np.linspace(-1, 1, 128)) - 1
    assert (codec.encode(x) == expected).all()


@pytest.mark.parametrize(
    "codec",
    [
        MuLaw(255, 256),
        MuLaw(127, 128),
        MuLaw(100, 64),
        MuLaw(8, 256),
        Linear(256),
        Linear(1024),
        Linear(32768),
    ],
)
def test_every_code_survives_an_int16_wav(codec: MuLaw | Linear) -> None:
    assert lost_in_int16(codec) == []
    codes = np.arange(codec.levels)
    assert (codec.encode(codec.decode(codes)) == codes).all()


def test_codes_that_do_not_survive_are_named() -> None:
    """Floor reaches its top code at amplitude 1 only, which int16 does not have."""
    assert lost_in_int16(MuLaw(128, 128, "floor", "midpoints")) == [127]
    assert len(lost_in_int16(MuLaw(128, 128, "floor", "grid"))) > 30
    # The finest step of mu = 65535, ln(65536) * 2 / 65535^2, is far below a 16-bit step.
    assert lost_in_int16(MuLaw(65535, 65536))


@given(st.integers(2, 256), st.integers(0, 255))
def test_levels_and_pixels_are_inverse(levels: int, code: int) -> None:
    codec = Levels(levels)
    codes = np.array([[[code % levels]]])
    back, steps = codec.encode(codec.decode(codes), fit=False)
    assert back == codes
    assert steps == []


def test_levels_refuse_pixels_in_between() -> None:
    assert Levels(2).decode(np.array([[[0, 1]]])).tolist() == [[[0, 255]]]
    pixels = np.array([[[0, 255, 100]]], dtype=np.uint8)
    with pytest.raises(MediaError, match=r"pixel 100 at \[0, 0, 2\] is none of the 2 levels"):
        Levels(2).encode(pixels, fit=False)
    codes, steps = Levels(2).encode(pixels, fit=True)
    assert codes.tolist() == [[[0, 1, 0]]]
    assert steps == ["rounded intensities to 2 levels"]


def test_palette() -> None:
    codec = Palette(((0, 0, 0), (255, 0, 0), (0, 0, 255)))
    codes = np.array([[[0, 1], [2, 1]]])
    pixels = codec.decode(codes)
    assert pixels[:, 1, 0].tolist() == [0, 0, 255]
    assert (codec.encode(pixels, fit=False)[0] == codes).all()
    pixels[0, 0, 1] = 250
    with pytest.raises(MediaError, match=r"colour \[250, 0, 0\] is not in the palette"):
        codec.encode(pixels, fit=False)
    assert (codec.encode(pixels, fit=True)[0] == codes).all()


def test_text() -> None:
    codec = Text("\n abé[")
    codes = codec.encode("bé [a\nab")
    assert codes.tolist() == [3, 4, 1, 5, 2, 0, 2, 3]
    assert codec.decode(codes) == "bé [a\nab"
    message = r"character 'ß' \(U\+00DF\), at 4 in line 2, is not in the alphabet of 6 characters"
    with pytest.raises(MediaError, match=message):
        codec.encode("ab\naß")


def test_from_config() -> None:
    assert from_config({"kind": "text", "alphabet": "xy"}) == Text("xy")
    assert from_config({"kind": "mu-law", "mu": 255, "levels": 256}) == MuLaw()
    assert from_config({"kind": "levels", "levels": 17}) == Levels(17)
    assert from_config({"kind": "palette", "colours": [[1, 2, 3]]}) == Palette(((1, 2, 3),))
    with pytest.raises(MediaError, match="unknown codec 'mp3'"):
        from_config({"kind": "mp3"})
