"""A file's bytes to one item of a model's data: the media type decides who reads it."""

from __future__ import annotations

import json
from pathlib import PurePath

import numpy as np
import soxr

from ancestral.media.codecs import Amplitudes, Codec, Levels, Linear, MuLaw, Palette, Text
from ancestral.media.errors import LARGEST, MediaError, shape_text
from ancestral.media.image import JPEG_MAGIC, PNG_MAGIC, read_image
from ancestral.media.midi import MAGIC as MIDI_MAGIC
from ancestral.media.midi import Midi
from ancestral.media.nested import Item, from_array, from_nested
from ancestral.media.npy import MAGIC as NPY_MAGIC
from ancestral.media.npy import read_npy
from ancestral.media.wav import read_wav
from ancestral.models.data import DataSpec

MEDIA_TYPES = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "audio/wav": "wav",
    "audio/wave": "wav",
    "audio/x-wav": "wav",
    "audio/vnd.wave": "wav",
    "audio/midi": "midi",
    "audio/x-midi": "midi",
    "application/x-npy": "npy",
    "application/json": "json",
    "text/plain": "txt",
}
_DECLARED = {".txt": "text/plain"}  # by a file's suffix, where its first bytes cannot say
_SLOWEST, _FASTEST = 1_000, 768_000  # Hz, of what "fit" resamples


def media_type(body: bytes, content_type: str | None) -> str:
    """'png', 'jpeg', 'wav', 'midi', 'npy', 'json' or 'txt': as declared, or as the first bytes say.

    Raises MediaError for an unknown declaration or one that the first bytes contradict.
    """
    if body.startswith(PNG_MAGIC):
        found = "png"
    elif body.startswith(JPEG_MAGIC):
        found = "jpeg"
    elif body[:4] == b"RIFF":
        found = "wav"
    elif body.startswith(MIDI_MAGIC):
        found = "midi"
    elif body.startswith(NPY_MAGIC):
        found = "npy"
    else:
        found = "json" if body[:64].lstrip()[:1] == b"[" else "unknown"
    declared = (content_type or "").partition(";")[0].strip().lower()
    if declared in ("", "application/octet-stream"):
        if not body:
            raise MediaError("the file is empty")
        if found == "unknown":
            raise MediaError("the bytes are no PNG, JPEG, WAV, MIDI, NPY or JSON")
        return found
    if declared not in MEDIA_TYPES:
        raise MediaError(f"media type {declared!r} is not read; {', '.join(MEDIA_TYPES)} are")
    wanted = MEDIA_TYPES[declared]
    if wanted == "txt" and found == "json":
        return wanted  # a text may begin with a bracket
    if found not in (wanted, "unknown"):
        raise MediaError(f"declared as {declared}, but the bytes are {found.upper()}")
    return wanted


def declared(file: PurePath) -> str | None:
    """The media type of a file whose bytes do not tell it."""
    return _DECLARED.get(file.suffix.lower())


def decode(
    body: bytes,
    content_type: str | None,
    data: DataSpec,
    codec: Codec | None,
    *,
    fit: bool = False,
    most: int = LARGEST,
) -> tuple[Item, list[str]]:
    """One item (int64 codes, or float64 where real-valued) and the `fit` steps that were applied.

    Nothing is resized, resampled or cast unless `fit` says so; a mismatch is a MediaError, and so
    is a file of more than `most` pixels or samples, as it comes or as it would be resampled.
    """
    if not body:
        raise MediaError("the body is empty")
    kind = media_type(body, content_type)
    if kind == "npy":
        return from_array(read_npy(body), data, fit=fit)
    if kind == "json":
        try:
            return from_nested(json.loads(body), data, fit=fit)
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MediaError(f"the JSON does not parse: {error}") from error
    if kind == "txt":
        if not isinstance(codec, Text):
            raise MediaError(f"text where {_expected(data)} is expected")
        try:
            return codec.encode(body.decode()), []
        except UnicodeDecodeError as error:
            raise MediaError(f"the text is not UTF-8: {error}") from error
    if kind == "midi":
        if not isinstance(codec, Midi):
            raise MediaError(f"a MIDI file where {_expected(data)} is expected")
        return codec.encode(body, fit=fit)
    if kind == "wav":
        if data.kind != "audio" or not isinstance(codec, MuLaw | Linear):
            raise MediaError(f"a WAV file where {_expected(data)} is expected")
        return _decode_wav(body, data, codec, fit, most)
    if data.kind != "image" or not isinstance(codec, Levels | Palette):
        raise MediaError(f"an image file where {_expected(data)} is expected")
    channels, height, width = data.shape
    colours = isinstance(codec, Palette)
    pixels, steps = read_image(
        body, codec.channels or channels, height, width, fit=fit, colours=colours, most=most
    )
    codes, rounded = codec.encode(pixels, fit=fit)
    return codes, steps + rounded


def _expected(data: DataSpec) -> str:
    values = "real values" if data.levels is None else f"{data.levels} levels"
    shape = f" of shape {shape_text(data.shape)}" if data.shape else ""
    return f"{data.kind}{shape} with {values}"


def _decode_wav(
    body: bytes, data: DataSpec, codec: MuLaw | Linear, fit: bool, most: int
) -> tuple[Item, list[str]]:
    amplitudes, steps = read_sound(body, data.sample_rate, fit=fit, most=most)
    return np.asarray(codec.encode(amplitudes)), steps


def read_sound(
    body: bytes, rate: int | None, *, fit: bool = False, most: int = LARGEST
) -> tuple[Amplitudes, list[str]]:
    """A WAV file's amplitudes [T] in [-1, 1] at that rate (Hz), and the `fit` steps applied."""
    wav = read_wav(body, most)
    steps: list[str] = []
    amplitudes = wav.amplitudes[:, 0]
    channels = wav.amplitudes.shape[1]
    if channels > 1:
        if not fit:
            raise MediaError(
                f"WAV of shape {shape_text((channels, len(wav.amplitudes)))} (channels, samples) "
                f"where mono [1, {len(wav.amplitudes)}] is expected; "
                '"fit": true takes their mean'
            )
        amplitudes = wav.amplitudes.mean(axis=1)
        steps.append(f"took the mean of {channels} channels")
    if rate is not None and wav.rate != rate:
        if not fit:
            raise MediaError(
                f'WAV of {wav.rate} Hz where {rate} Hz is expected; "fit": true resamples it'
            )
        amplitudes = _resample(amplitudes, wav.rate, rate, most)
        steps.append(f"resampled {wav.rate} Hz to {rate} Hz")
    peak = float(np.abs(amplitudes).max())
    if peak > 1.0:
        if not fit:
            raise MediaError(
                f'WAV: amplitude {peak:.4g} lies outside [-1, 1]; "fit": true clips it'
            )
        amplitudes = np.clip(amplitudes, -1.0, 1.0)
        steps.append("clipped amplitudes to [-1, 1]")
    return amplitudes, steps


def _resample(amplitudes: Amplitudes, rate: int, wanted: int, most: int) -> Amplitudes:
    if not _SLOWEST <= rate <= _FASTEST:
        raise MediaError(f"WAV of {rate} Hz; {_SLOWEST}..{_FASTEST} Hz can be resampled")
    if len(amplitudes) * wanted > most * rate:
        seconds, longest = len(amplitudes) / rate, most / wanted
        raise MediaError(f"WAV of {seconds:.0f} s; at {wanted} Hz {longest:.0f} s are resampled")
    resampled = np.asarray(soxr.resample(amplitudes, rate, wanted), dtype=np.float64)
    if not len(resampled):
        raise MediaError(f"WAV: {len(amplitudes)} samples at {rate} Hz are too few to resample")
    return resampled
