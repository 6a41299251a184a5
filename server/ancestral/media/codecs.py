"""Codecs: between what a file holds (pixels, amplitudes) and a model's codes.

A codec is data in the manifest, so that a package says exactly what its codes stand for:

- `MuLaw`: y = sign(x) ln(1 + mu |x|) / ln(1 + mu) (ITU-T G.711's continuous curve), quantised to
  `levels` codes by rounding to the nearest grid point or by floor, and played at grid points or at
  the middles of the floor intervals.
- `Linear`: codes spread evenly over [-1, 1].
- `Levels`: an image's codes 0..levels-1 as 8-bit intensities round(255 k / (levels - 1)).
- `Palette`: a code for each colour of a table.
- `Text`: a code for each character of an alphabet.
- `Midi`: the pitches of voices, step by step (`ancestral.media.midi`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from ancestral.media.errors import MediaError
from ancestral.media.midi import Midi

Codes = npt.NDArray[np.int64]
Amplitudes = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]
Rounding = Literal["nearest", "floor"]
Decode = Literal["grid", "midpoints"]


def pcm16(amplitudes: Amplitudes) -> npt.NDArray[np.int16]:
    """Amplitudes in [-1, 1] as 16-bit samples: x times 32768, rounded, saturated."""
    return np.clip(np.rint(amplitudes * 32768.0), -32768, 32767).astype(np.int16)


class AudioCodec(Protocol):
    """Amplitudes in [-1, 1] to codes and back."""

    @property
    def levels(self) -> int: ...

    def encode(self, amplitudes: Amplitudes) -> Codes: ...

    def decode(self, codes: Codes) -> Amplitudes: ...


def lost_in_int16(codec: AudioCodec) -> list[int]:
    """Codes that do not come back from a 16-bit WAV file; most codecs have none."""
    codes = np.arange(codec.levels, dtype=np.int64)
    back = codec.encode(pcm16(codec.decode(codes)).astype(np.float64) / 32768.0)
    return [int(code) for code in codes[back != codes]]


def _quantise(y: Amplitudes, levels: int, rounding: Rounding) -> Codes:
    scaled = (y + 1.0) / 2.0 * (levels - 1)
    whole = np.floor(scaled) if rounding == "floor" else np.floor(scaled + 0.5)
    return np.clip(whole, 0, levels - 1).astype(np.int64)


def _points(codes: Codes, levels: int, decode: Decode) -> Amplitudes:
    shift = 0.5 if decode == "midpoints" else 0.0
    return np.minimum(2.0 * (codes + shift) / (levels - 1) - 1.0, 1.0)


@dataclass(frozen=True)
class MuLaw:
    """Companded amplitudes. `floor` goes with `midpoints`: grid points are interval edges there."""

    mu: int = 255
    levels: int = 256
    rounding: Rounding = "nearest"
    decode_points: Decode = "grid"

    def encode(self, amplitudes: Amplitudes) -> Codes:
        x = np.clip(amplitudes, -1.0, 1.0)
        y = np.sign(x) * np.log1p(self.mu * np.abs(x)) / np.log1p(self.mu)
        return _quantise(y, self.levels, self.rounding)

    def decode(self, codes: Codes) -> Amplitudes:
        y = _points(codes, self.levels, self.decode_points)
        amplitudes: Amplitudes = np.sign(y) * np.expm1(np.abs(y) * np.log1p(self.mu)) / self.mu
        return amplitudes


@dataclass(frozen=True)
class Linear:
    """Evenly spaced amplitudes; 65536 levels hold every 16-bit sample."""

    levels: int = 65536

    def encode(self, amplitudes: Amplitudes) -> Codes:
        return _quantise(np.clip(amplitudes, -1.0, 1.0), self.levels, "nearest")

    def decode(self, codes: Codes) -> Amplitudes:
        return _points(codes, self.levels, "grid")


class ImageCodec(Protocol):
    """8-bit pixels [channels, H, W] to codes [C, H, W] and back."""

    @property
    def channels(self) -> int | None:
        """Channels of the pixels; None where they are as many as the codes'."""
        ...

    def encode(self, pixels: Pixels, *, fit: bool) -> tuple[Codes, list[str]]:
        """Codes and the `fit` steps taken; MediaError where one is needed but not allowed."""
        ...

    def decode(self, codes: Codes) -> Pixels: ...


def _first_false(good: npt.NDArray[np.bool_]) -> list[int]:
    return [int(axis[0]) for axis in np.nonzero(~good)]


@dataclass(frozen=True)
class Levels:
    """Intensities 0..255 in `levels` even steps; 256 levels are the pixels themselves."""

    levels: int = 256
    channels: None = None

    @cached_property
    def _table(self) -> Pixels:
        steps = np.arange(self.levels) * 255.0 / (self.levels - 1)
        return np.floor(steps + 0.5).astype(np.uint8)

    def encode(self, pixels: Pixels, *, fit: bool) -> tuple[Codes, list[str]]:
        codes = np.floor(pixels * ((self.levels - 1) / 255.0) + 0.5).astype(np.int64)
        exact = self._table[codes] == pixels
        if exact.all():
            return codes, []
        if not fit:
            where = _first_false(exact)
            raise MediaError(
                f"pixel {int(pixels[tuple(where)])} at {where} is none of the {self.levels} levels "
                f'(multiples of 255/{self.levels - 1}); "fit": true rounds it'
            )
        return codes, [f"rounded intensities to {self.levels} levels"]

    def decode(self, codes: Codes) -> Pixels:
        return self._table[codes]


@dataclass(frozen=True)
class Palette:
    """One code per colour: `colours` [K, 3], 8-bit RGB; codes are [1, H, W]."""

    colours: tuple[tuple[int, int, int], ...]
    channels: int = 3

    @cached_property
    def _table(self) -> npt.NDArray[np.int64]:
        return np.asarray(self.colours, dtype=np.int64)

    @property
    def levels(self) -> int:
        return len(self.colours)

    def encode(self, pixels: Pixels, *, fit: bool) -> tuple[Codes, list[str]]:
        unique, inverse = np.unique(
            pixels.reshape(3, -1).T.astype(np.int64), axis=0, return_inverse=True
        )
        distance = ((unique[:, None, :] - self._table[None]) ** 2).sum(axis=-1)
        nearest = distance.argmin(axis=1)
        codes = nearest[inverse].reshape(1, *pixels.shape[1:]).astype(np.int64)
        off = distance.min(axis=1) > 0
        if not off.any():
            return codes, []
        if not fit:
            colour = [int(value) for value in unique[off][0]]
            raise MediaError(
                f"colour {colour} is not in the palette of {self.levels}; "
                '"fit": true takes the nearest'
            )
        return codes, [f"took the nearest of {self.levels} palette colours"]

    def decode(self, codes: Codes) -> Pixels:
        pixels: Pixels = self._table[codes[0]].transpose(2, 0, 1).astype(np.uint8)
        return pixels


@dataclass(frozen=True)
class Text:
    """One code per character of `alphabet`, in its order."""

    alphabet: str

    @cached_property
    def _codes(self) -> dict[str, int]:
        return {character: code for code, character in enumerate(self.alphabet)}

    @property
    def levels(self) -> int:
        return len(self.alphabet)

    def encode(self, text: str) -> Codes:
        """MediaError names the first character that is not in the alphabet."""
        try:
            return np.array([self._codes[character] for character in text], dtype=np.int64)
        except KeyError as error:
            character = str(error.args[0])
            line = text[: text.index(character)].count("\n") + 1
            raise MediaError(
                f"character {character!r} (U+{ord(character):04X}), at {text.index(character)} in "
                f"line {line}, is not in the alphabet of {self.levels} characters"
            ) from None

    def decode(self, codes: Codes) -> str:
        return "".join(self.alphabet[code] for code in codes)


Codec = MuLaw | Linear | Levels | Palette | Text | Midi


def from_config(config: Mapping[str, Any]) -> Codec:
    """The codec that a manifest's `codec` describes, e.g. `{"kind": "mu-law", "mu": 255, …}`."""
    settings = dict(config)
    kind = settings.pop("kind", None)
    match kind:
        case "mu-law":
            return MuLaw(**settings)
        case "linear":
            return Linear(**settings)
        case "levels":
            return Levels(**settings)
        case "palette":
            return Palette(tuple((r, g, b) for r, g, b in settings["colours"]))
        case "text":
            return Text(**settings)
        case "midi":
            return Midi(**settings)
    raise MediaError(f"unknown codec {kind!r}; known: levels, linear, midi, mu-law, palette, text")
