"""Log-mel frames against their definition, written out bin by bin."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.signal import get_window

from ancestral.media import MediaError
from ancestral.media.mel import LogMel, hertz_of, mel_of

SMALL = LogMel(rate=1000, hop=10, window=32, bands=5, lowest=50, highest=500, floor=1e-6)


def by_definition(sound: np.ndarray, frame: int, band: int, mel: LogMel = SMALL) -> float:
    """One value: a discrete Fourier transform as a sum, one triangle, the logarithm."""
    centre = frame * mel.hop + mel.hop / 2
    first = int(centre - mel.window / 2)
    padded = np.concatenate([np.zeros(1000), sound, np.zeros(1000)])
    window = get_window("hann", mel.window)  # periodic
    taken = padded[1000 + first : 1000 + first + mel.window] * window

    def corner(number: int) -> float:
        ends = [2595 * math.log10(1 + f / 700) for f in (mel.lowest, mel.highest)]
        at = ends[0] + (ends[1] - ends[0]) * number / (mel.bands + 1)
        return 700 * (10 ** (at / 2595) - 1)

    low, top, high = (corner(band + k) for k in range(3))
    energy = 0.0
    for j in range(mel.window // 2 + 1):
        turns = np.exp(-2j * np.pi * j * np.arange(mel.window) / mel.window)
        f = j * mel.rate / mel.window
        weight = max(0.0, min((f - low) / (top - low), (high - f) / (high - top)))
        energy += weight * (2 * abs((taken * turns).sum()) / window.sum()) ** 2
    return 1 - math.log(max(energy, mel.floor)) / math.log(mel.floor)


@pytest.mark.parametrize("length", [1, 9, 10, 11, 95])
def test_frames_are_as_defined(length: int) -> None:
    sound = np.random.default_rng(length).normal(0, 0.2, length)
    found = SMALL(sound)
    assert found.dtype == np.float32
    assert found.shape == (5, -(-length // 10))
    for frame in range(found.shape[1]):
        for band in range(5):
            expected = by_definition(sound, frame, band)
            assert found[band, frame] == pytest.approx(expected, abs=1e-5)


def test_windows_shorter_than_the_hop_leave_gaps() -> None:
    apart = LogMel(rate=1000, hop=40, window=32, bands=3, lowest=50, highest=500, floor=1e-6)
    sound = np.random.default_rng(0).normal(0, 0.2, 90)
    found = apart(sound)
    assert found.shape == (3, 3)
    for frame in range(3):
        assert found[1, frame] == pytest.approx(by_definition(sound, frame, 1, apart), abs=1e-5)


def test_silence_is_zero_and_a_full_tone_is_one() -> None:
    mel = LogMel(rate=8000, hop=80, window=400, bands=40, lowest=50, highest=4000, floor=1e-8)
    assert (mel(np.zeros(800)) == 0).all()
    corners = hertz_of(np.linspace(mel_of(50), mel_of(4000), 42))
    frequency = 20 * round(corners[21] / 20)  # a bin of the transform within band 20
    tone = np.sin(2 * np.pi * frequency * np.arange(8000) / 8000)
    column = mel(tone)[:, 50]
    assert column.argmax() == 20
    assert column[20] == pytest.approx(1, abs=0.03)
    assert column[[0, 39]].max() < 0.1
    quieter = mel(tone / 10)[20, 50]
    assert column[20] - quieter == pytest.approx(2 / 8, abs=1e-4)  # 20 dB of 80


def test_mel_scale() -> None:
    assert mel_of(1000) == pytest.approx(1000, abs=0.1)  # by construction of the scale
    assert hertz_of(mel_of([0, 440, 3999])) == pytest.approx([0, 440, 3999])


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="half of 1000 Hz"):
        LogMel(rate=1000, hop=10, window=32, bands=5, lowest=50, highest=501, floor=1e-6)
    with pytest.raises(ValueError, match="of 40 holds no frequency"):
        LogMel(rate=1000, hop=10, window=32, bands=40, lowest=0, highest=500, floor=1e-6)
    with pytest.raises(ValueError, match="floor"):
        LogMel(rate=1000, hop=10, window=32, bands=5, lowest=50, highest=500, floor=1.0)
    with pytest.raises(MediaError, match=r"\[2, 3\]"):
        SMALL(np.zeros((2, 3)))
