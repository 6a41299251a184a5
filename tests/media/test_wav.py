from __future__ import annotations

import contextlib
import io
import struct
import wave

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ancestral.media import MediaError, MuLaw, encode_wav, wav_header
from ancestral.media.codecs import Linear
from ancestral.media.wav import read_wav


def wav(
    payload: bytes, *, tag: int = 1, bits: int = 16, channels: int = 1, rate: int = 8000
) -> bytes:
    """A WAV file put together by hand, independent of the code under test."""
    block = channels * bits // 8
    fmt = struct.pack("<HHIIHH", tag, channels, rate, rate * block, block, bits)
    chunks = (
        b"fmt " + struct.pack("<I", 16) + fmt + b"data" + struct.pack("<I", len(payload)) + payload
    )
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


@pytest.mark.parametrize(
    ("payload", "tag", "bits", "expected"),
    [
        (bytes([0, 128, 192]), 1, 8, [-1.0, 0.0, 0.5]),
        (struct.pack("<3h", -32768, 0, 16384), 1, 16, [-1.0, 0.0, 0.5]),
        (b"\x00\x00\x80" + b"\x00\x00\x00" + b"\x00\x00\x40", 1, 24, [-1.0, 0.0, 0.5]),
        (struct.pack("<3i", -(2**31), 0, 2**30), 1, 32, [-1.0, 0.0, 0.5]),
        (struct.pack("<3f", -1.0, 0.0, 0.5), 3, 32, [-1.0, 0.0, 0.5]),
        (struct.pack("<3d", -1.0, 0.0, 0.5), 3, 64, [-1.0, 0.0, 0.5]),
    ],
)
def test_sample_formats(payload: bytes, tag: int, bits: int, expected: list[float]) -> None:
    sound = read_wav(wav(payload, tag=tag, bits=bits))
    assert sound.amplitudes[:, 0].tolist() == expected
    assert sound.rate == 8000


def test_channels_extensible_and_odd_chunks() -> None:
    payload = struct.pack("<4h", 1, 2, 3, 4)
    guid = bytes.fromhex("0100000000001000800000aa00389b71")
    fmt = (
        struct.pack("<HHIIHH", 0xFFFE, 2, 8000, 32000, 4, 16)
        + struct.pack("<HHI", 22, 16, 3)
        + guid
    )
    chunks = b"LIST" + struct.pack("<I", 3) + b"abc\x00" + b"fmt " + struct.pack("<I", 40) + fmt
    chunks += b"data" + struct.pack("<I", 8) + payload
    sound = read_wav(b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks)
    assert (sound.amplitudes * 32768).tolist() == [[1, 2], [3, 4]]


def test_written_files_are_read_by_the_standard_library() -> None:
    codes = np.arange(256)
    codec = MuLaw()
    with wave.open(io.BytesIO(encode_wav(codes, codec, 16000))) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 16000)
        samples = np.frombuffer(file.readframes(256), "<i2")
    assert len(samples) == 256
    assert (codec.encode(samples / 32768) == codes).all()


def test_streaming_header() -> None:
    header = wav_header(8000, None)
    assert len(header) == 44
    assert header[4:8] == header[40:44] == b"\xff\xff\xff\xff"
    assert read_wav(header + b"\x00\x40").amplitudes.tolist() == [[0.5]]
    assert wav_header(8000, 5)[40:44] == (10).to_bytes(4, "little")
    with pytest.raises(MediaError, match="do not fit"):
        wav_header(8000, 2**31)


def test_one_item_per_file() -> None:
    with pytest.raises(MediaError, match="one item"):
        encode_wav(np.zeros((2, 5), dtype=np.int64), Linear(), 8000)


GOOD = wav(struct.pack("<4h", 1, 2, 3, 4))


def changed(at: int, replacement: bytes) -> bytes:
    return GOOD[:at] + replacement + GOOD[at + len(replacement) :]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"RIFX" + GOOD[4:], "not a WAV file"),
        (GOOD[:10], "not a WAV file"),
        (GOOD[:-3], "claims"),
        (changed(4, struct.pack("<I", 4000)), "RIFF header claims 4000 bytes"),
        (changed(40, struct.pack("<I", 4000)), "'data' claims 4000 bytes, 8 are there"),
        (changed(40, struct.pack("<I", 7)), "no whole number"),
        (changed(40, struct.pack("<I", 0)), "no samples"),
        (changed(16, struct.pack("<I", 2000)), "'fmt ' claims 2000"),
        (changed(20, struct.pack("<H", 7)), "mu-law of 16 bits is not read"),
        (changed(20, struct.pack("<H", 0xFFFE)), "extensible"),
        (changed(22, struct.pack("<H", 0)), "0 channels"),
        (changed(22, struct.pack("<H", 2)), "contradict"),
        (changed(24, struct.pack("<I", 0)), "at 0 Hz"),
        (changed(24, struct.pack("<I", 44100)), "contradict"),
        (changed(34, struct.pack("<H", 12)), "PCM of 12 bits"),
        (changed(12, b"junk"), "before the format"),
        (changed(36, b"junk"), "no data chunk"),
        (GOOD[:36], "claims"),
        (wav(struct.pack("<f", float("nan")), tag=3, bits=32), "NaN"),
    ],
)
def test_lying_headers(body: bytes, message: str) -> None:
    with pytest.raises(MediaError, match=message):
        read_wav(body)


@given(st.integers(0, 43), st.integers(0, 255))
def test_a_flipped_byte_never_escapes_as_another_error(at: int, value: int) -> None:
    with contextlib.suppress(MediaError):
        read_wav(changed(at, bytes([value])))


def test_every_truncation_is_refused() -> None:
    for length in range(len(GOOD)):
        with pytest.raises(MediaError):
            read_wav(GOOD[:length])


def test_a_file_of_too_many_samples_is_not_decoded() -> None:
    body = encode_wav(np.zeros(30, np.int64), MuLaw(), 8000)
    assert len(read_wav(body, 30).amplitudes) == 30
    with pytest.raises(MediaError, match="WAV of 30 samples; at most 29"):
        read_wav(body, 29)
