"""Broken files are a MediaError, or they are read; nothing else, and at once."""

from __future__ import annotations

import io
import wave

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.mutations import JSON, broken_bytes

from ancestral.media import MediaError, MuLaw, decode, encode_npy
from ancestral.media.codecs import Levels
from ancestral.media.midi import Midi
from ancestral.models.data import DataSpec

IMAGE = DataSpec("image", (1, 4, 4), 2)
SOUND = DataSpec("audio", (), 16, 1000)
MUSIC = DataSpec("sequence", (), 128)
KINDS = st.sampled_from([None, "image/png", "audio/wav", "application/x-npy", "application/json"])


def picture(kind: str, mode: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (4, 4)).save(buffer, kind, **options)
    return buffer.getvalue()


def sound(width: int, channels: int) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(1000)
        file.writeframes(bytes(range(24)) * width * channels)
    return buffer.getvalue()


PICTURES = [
    picture("PNG", "L"),
    picture("PNG", "RGBA"),
    picture("PNG", "P", transparency=0),
    picture("PNG", "1"),
    picture("PNG", "I;16"),
    picture("PNG", "RGB", dpi=(72, 72)),
    picture("JPEG", "L"),
]
SOUNDS = [sound(width, channels) for width in (1, 2, 3, 4) for channels in (1, 2)]
ARRAYS = [
    encode_npy(np.zeros((1, 4, 4), dtype)) for dtype in (np.uint8, np.int64, np.float32, np.bool_)
] + [encode_npy(np.zeros(9, np.int16))]
SONG = Midi(voices=2, steps=4).decode(np.array([60, 64, 60, 65, 62, 0, 60, 60]))
FILES = st.sampled_from([*PICTURES, *SOUNDS, *ARRAYS, SONG, b"[[[0, 1, 1, 0]]]", b"[1, 2, 3]"])


def read(body: bytes, kind: str | None, fit: bool) -> None:
    for data, codec in (
        (IMAGE, Levels(2)),
        (SOUND, MuLaw(mu=15, levels=16, rounding="nearest", decode_points="grid")),
        (MUSIC, Midi(voices=2, steps=4)),
    ):
        try:
            item, _ = decode(body, kind, data, codec, fit=fit)
        except MediaError:
            continue
        assert data.levels is not None
        assert 0 <= item.min() <= item.max() < data.levels
        assert item.shape == (data.shape or (len(item),))


@pytest.mark.parametrize("body", [*PICTURES, *SOUNDS, *ARRAYS, SONG])
def test_good_files_are_read(body: bytes) -> None:
    read(body, None, True)


def test_a_sound_that_resampling_would_blow_up() -> None:
    """32 MB of 8-bit samples at 1 kHz would be 12 GB of float64 at 48 kHz."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(1000)
        file.writeframes(bytes(2**20))
    with pytest.raises(MediaError, match="are resampled"):
        decode(buffer.getvalue(), None, DataSpec("audio", (), 256, 48_000), MuLaw(), fit=True)


@settings(max_examples=150)
@given(broken_bytes(FILES), KINDS, st.booleans())
def test_broken_files(body: bytes, kind: str | None, fit: bool) -> None:
    read(body, kind, fit)


@pytest.mark.slow
@settings(max_examples=5000, suppress_health_check=list(HealthCheck))
@given(broken_bytes(FILES), KINDS, st.booleans())
def test_many_broken_files(body: bytes, kind: str | None, fit: bool) -> None:
    read(body, kind, fit)


@settings(max_examples=100)
@given(st.binary(max_size=80), KINDS)
def test_any_bytes(body: bytes, kind: str | None) -> None:
    read(body, kind, True)


@settings(max_examples=200)
@given(JSON)
def test_any_json(document: object) -> None:
    import json

    read(json.dumps(document).encode(), "application/json", True)
