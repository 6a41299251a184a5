"""Log-mel frames of a sound: what a vocoder is conditioned on.

Frame k describes the `window` samples around the middle of samples k · hop … (k + 1) · hop − 1, so
that a sound of T samples has ⌈T / hop⌉ frames; beyond its ends the sound is 0. With a Hann window w
(periodic) and X its discrete Fourier transform,

    P[j] = (2 |X[j]| / Σ w)²        the squared amplitude of a sinusoid at bin j,
    E[b] = Σ_j W[b, j] P[j]         W: triangles, equally spaced in mel, of height 1,
    value = 1 − ln max(E, floor) / ln floor,

which is 0 for silence and 1 for a sinusoid of full scale. The triangles' corners are `bands` + 2
frequencies from `lowest` to `highest` Hz, evenly spaced in mel = 2595 log₁₀(1 + f / 700)
(O'Shaughnessy 1987; Davis and Mermelstein 1980 for the triangles).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ancestral.media.errors import MediaError

Amplitudes = npt.NDArray[np.floating]


def mel_of(frequency: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Hertz to mel."""
    return np.asarray(2595 * np.log10(1 + np.asarray(frequency, np.float64) / 700))


def hertz_of(mel: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Mel to Hertz."""
    return np.asarray(700 * (10 ** (np.asarray(mel, np.float64) / 2595) - 1))


@dataclass(frozen=True)
class LogMel:
    """`rate`, `lowest` and `highest` in Hz; `window` and `hop` in samples; 0 < `floor` < 1."""

    rate: int
    hop: int
    window: int
    bands: int
    lowest: float
    highest: float
    floor: float

    def __post_init__(self) -> None:
        if not 0 <= self.lowest < self.highest <= self.rate / 2:
            raise ValueError(
                f"bands from {self.lowest:g} to {self.highest:g} Hz do not lie below half of "
                f"{self.rate} Hz"
            )
        if not 0 < self.floor < 1:
            raise ValueError(f"floor must lie between 0 and 1, not {self.floor}")
        empty = np.flatnonzero(self.triangles().sum(1) == 0)
        if len(empty):
            raise ValueError(
                f"band {empty[0]} of {self.bands} holds no frequency of a window of "
                f"{self.window} samples"
            )

    def triangles(self) -> npt.NDArray[np.float64]:
        """W [bands, window // 2 + 1]."""
        corners = hertz_of(np.linspace(mel_of(self.lowest), mel_of(self.highest), self.bands + 2))[
            :, None
        ]
        bins = np.arange(self.window // 2 + 1) * (self.rate / self.window)
        rising = (bins - corners[:-2]) / (corners[1:-1] - corners[:-2])
        falling = (corners[2:] - bins) / (corners[2:] - corners[1:-1])
        return np.asarray(np.clip(np.minimum(rising, falling), 0, None))

    def __call__(self, sound: Amplitudes) -> npt.NDArray[np.float32]:
        """Amplitudes [T] in [-1, 1] -> frames [bands, ⌈T / hop⌉]. Raises MediaError where empty."""
        if sound.ndim != 1 or not len(sound):
            raise MediaError(f"one sound [T] has frames, not an array of shape {list(sound.shape)}")
        count = -(-len(sound) // self.hop)
        before = (self.window - self.hop) // 2  # may be negative: windows apart
        start = max(before, 0)
        length = (count - 1) * self.hop + self.window + start - before
        padded = np.zeros(max(length, start + len(sound)))
        padded[start : start + len(sound)] = sound
        windows = np.lib.stride_tricks.sliding_window_view(padded, self.window)
        chosen = windows[start - before :: self.hop][:count]
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.window) / self.window)
        power = (2 * np.abs(np.fft.rfft(chosen * hann)) / hann.sum()) ** 2
        energy = np.maximum(power @ self.triangles().T, self.floor)
        return np.ascontiguousarray((1 - np.log(energy) / np.log(self.floor)).T, dtype=np.float32)
