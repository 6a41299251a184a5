from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ancestral.media import (
    Codec,
    Levels,
    MediaError,
    MuLaw,
    Palette,
    Text,
    decode,
    encode_npy,
    encode_png,
    encode_wav,
)
from ancestral.models.data import DataSpec

IMAGE = DataSpec(kind="image", shape=(1, 4, 4), levels=256, sample_rate=None)
AUDIO = DataSpec(kind="audio", shape=(), levels=256, sample_rate=8000)
TEXT = DataSpec(kind="sequence", levels=4)
LETTERS = Text("\nab[")
ITEM = np.arange(16).reshape(1, 4, 4) * 17
SOUND = np.arange(0, 256, 5)


def stereo(samples: np.ndarray, rate: int) -> bytes:
    """A float WAV of the amplitudes [T, channels], by hand."""
    channels = samples.shape[1]
    payload = samples.astype("<f4").tobytes()
    fmt = struct.pack("<HHIIHH", 3, channels, rate, rate * channels * 4, channels * 4, 32)
    chunks = (
        b"fmt " + struct.pack("<I", 16) + fmt + b"data" + struct.pack("<I", len(payload)) + payload
    )
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


@pytest.mark.parametrize(
    ("body", "content_type", "data", "codec", "expected"),
    [
        (encode_png([ITEM], Levels()), "image/png", IMAGE, Levels(), ITEM),
        (encode_png([ITEM], Levels()), None, IMAGE, Levels(), ITEM),
        (encode_npy(ITEM[0].astype(np.uint8)), "application/x-npy", IMAGE, Levels(), ITEM),
        (str(ITEM.tolist()).encode(), "application/json; charset=utf-8", IMAGE, None, ITEM),
        (encode_wav(SOUND, MuLaw(), 8000), "audio/x-wav", AUDIO, MuLaw(), SOUND),
        (encode_wav(SOUND, MuLaw(), 8000), "application/octet-stream", AUDIO, MuLaw(), SOUND),
        (encode_npy(SOUND), None, AUDIO, MuLaw(), SOUND),
        (str(SOUND.tolist()).encode(), None, AUDIO, MuLaw(), SOUND),
        (b"[ab\n", "text/plain; charset=utf-8", TEXT, LETTERS, np.array([3, 1, 2, 0])),
        (b"[1, 2]", "application/json", TEXT, LETTERS, np.array([1, 2])),
    ],
)
def test_what_was_written_is_read(
    body: bytes, content_type: str | None, data: DataSpec, codec: Codec | None, expected: np.ndarray
) -> None:
    item, steps = decode(body, content_type, data, codec)
    assert (item == expected).all()
    assert item.shape == expected.shape
    assert item.dtype == np.int64
    assert steps == []


@pytest.mark.parametrize(
    ("body", "content_type", "data", "codec", "message"),
    [
        (b"", None, IMAGE, Levels(), "empty"),
        (b"hello", None, IMAGE, Levels(), "no PNG, JPEG, WAV"),
        (b"hello", "text/html", IMAGE, Levels(), "'text/html' is not read"),
        (b"hello", "text/plain", IMAGE, Levels(), r"text where image of shape \[1, 4, 4\]"),
        (b"ab\xff", "text/plain", TEXT, LETTERS, "not UTF-8"),
        (b"abc", "text/plain", TEXT, LETTERS, "character 'c'"),
        (b"hello", "image/png", IMAGE, Levels(), "not a PNG"),
        (encode_png([ITEM], Levels()), "audio/wav", AUDIO, MuLaw(), "bytes are PNG"),
        (encode_png([ITEM], Levels()), None, AUDIO, MuLaw(), "audio with"),
        (encode_wav(SOUND, MuLaw(), 8000), None, IMAGE, Levels(), r"image of shape \[1, 4, 4\]"),
        (encode_wav(SOUND, MuLaw(), 16000), None, AUDIO, MuLaw(), "16000 Hz where 8000 Hz"),
        (stereo(np.zeros((5, 2)), 8000), None, AUDIO, MuLaw(), r"\[2, 5\].*\[1, 5\]"),
        (stereo(np.full((5, 1), 1.5), 8000), None, AUDIO, MuLaw(), "outside"),
        (b"[1, 2", None, AUDIO, MuLaw(), "does not parse"),
        (b"[" * 100_000, None, AUDIO, MuLaw(), "does not parse|deeper"),
        (b"\xff\xfe", "application/json", AUDIO, MuLaw(), "does not parse"),
        (b"7", "application/json", AUDIO, MuLaw(), "not a list"),
    ],
)
def test_mismatches(
    body: bytes, content_type: str | None, data: DataSpec, codec: Codec | None, message: str
) -> None:
    with pytest.raises(MediaError, match=message):
        decode(body, content_type, data, codec)


def test_fit_mixes_resamples_and_clips() -> None:
    """A 440 Hz tone stays one: the resampled wave against the sine at the new rate."""
    time = np.arange(16000) / 16000
    tone = 0.5 * np.sin(2 * np.pi * 440 * time)
    item, steps = decode(
        stereo(np.stack([tone, tone], axis=1), 16000), None, AUDIO, MuLaw(), fit=True
    )
    assert steps == ["took the mean of 2 channels", "resampled 16000 Hz to 8000 Hz"]
    assert len(item) == 8000
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)
    middle = slice(500, 7500)
    assert np.abs(MuLaw().decode(item)[middle] - expected[middle]).max() < 0.02
    _, steps = decode(stereo(np.full((5, 1), 1.5), 8000), None, AUDIO, MuLaw(), fit=True)
    assert steps == ["clipped amplitudes to [-1, 1]"]
    with pytest.raises(MediaError, match="can be resampled"):
        decode(stereo(np.zeros((5, 1)), 10), None, AUDIO, MuLaw(), fit=True)


def test_fit_jpeg_and_palette() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (9, 9), (250, 3, 3)).save(buffer, format="JPEG")
    codec = Palette(((0, 0, 0), (255, 0, 0)))
    data = DataSpec(kind="image", shape=(1, 4, 4), levels=2, sample_rate=None)
    item, steps = decode(buffer.getvalue(), "image/jpeg", data, codec, fit=True)
    assert (item == 1).all()
    assert item.shape == (1, 4, 4)
    assert len(steps) == 2


def test_a_grey_picture_is_one_of_colours_to_a_palette() -> None:
    buffer = io.BytesIO()
    Image.new("L", (4, 4), 7).save(buffer, format="PNG")
    data = DataSpec(kind="image", shape=(1, 4, 4), levels=2)
    item, steps = decode(buffer.getvalue(), None, data, Palette(((0, 0, 0), (7, 7, 7))))
    assert (item == 1).all()
    assert steps == []
    with pytest.raises(MediaError, match=r"colour \[7, 7, 7\] is not in the palette"):
        decode(buffer.getvalue(), None, data, Palette(((0, 0, 0), (7, 7, 8))))


@given(
    st.binary(max_size=64), st.sampled_from([b"\x89PNG\r\n\x1a\n", b"RIFF", b"\xff\xd8\xff", b"["])
)
def test_garbage_is_a_media_error(tail: bytes, magic: bytes) -> None:
    with pytest.raises(MediaError):
        decode(magic + tail, None, IMAGE, Levels(), fit=True)
