"""WAV in and out: RIFF/WAVE as in Microsoft's and IBM's "Multimedia Programming Interface 1.0".

Read by walking the chunks with every length checked against the bytes that are there, because
headers lie. Written with the true size where the length is known and 0xFFFFFFFF where it is not.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from ancestral.media.codecs import Amplitudes, AudioCodec, Codes, pcm16
from ancestral.media.errors import LARGEST, MediaError

UNKNOWN = 0xFFFFFFFF  # a size that a stream did not know when it wrote its header
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_SUBFORMAT_TAIL = bytes.fromhex("000000001000800000aa00389b71")
_WIDTHS = {_PCM: (8, 16, 24, 32), _FLOAT: (32, 64)}  # bits
_NAMES = {_PCM: "PCM", _FLOAT: "float", 2: "ADPCM", 6: "A-law", 7: "mu-law", 0x55: "MP3"}


@dataclass(frozen=True)
class Wav:
    """A decoded file: amplitudes [T, channels] in [-1, 1] (floats may exceed it), rate in Hz."""

    amplitudes: Amplitudes
    rate: int


@dataclass(frozen=True)
class _Format:
    tag: int
    channels: int
    rate: int
    bits: int


def read_wav(body: bytes, most: int = LARGEST) -> Wav:
    """PCM of 8, 16, 24 or 32 bits, or IEEE float of 32 or 64, `most` samples. Raises MediaError."""
    if len(body) < 12 or body[:4] != b"RIFF" or body[8:12] != b"WAVE":
        raise MediaError("not a WAV file: it does not start with RIFF…WAVE")
    claimed = struct.unpack_from("<I", body, 4)[0]
    if claimed != UNKNOWN and claimed > len(body) - 8:
        raise MediaError(f"WAV: the RIFF header claims {claimed} bytes, {len(body) - 8} are there")
    end = len(body) if claimed == UNKNOWN else 8 + claimed
    layout: _Format | None = None
    at = 12
    while at + 8 <= end:
        name = body[at : at + 4]
        size = struct.unpack_from("<I", body, at + 4)[0]
        at += 8
        if name == b"data" and size == UNKNOWN:
            size = end - at
        if size > end - at:
            label = name.decode("latin-1")
            raise MediaError(f"WAV: chunk {label!r} claims {size} bytes, {end - at} are there")
        if name == b"fmt ":
            layout = _read_format(body[at : at + size])
        elif name == b"data":
            if layout is None:
                raise MediaError("WAV: the data comes before the format")
            if size > most * (layout.bits // 8):
                count = size // (layout.bits // 8)
                raise MediaError(f"WAV of {count} samples; at most {most} are decoded")
            return Wav(_samples(body[at : at + size], layout), layout.rate)
        at += size + size % 2
    raise MediaError("WAV: there is no data chunk")


def _read_format(chunk: bytes) -> _Format:
    if len(chunk) < 16:
        raise MediaError(f"WAV: the format chunk has {len(chunk)} bytes, at least 16 are needed")
    tag, channels, rate, byte_rate, block, bits = struct.unpack_from("<HHIIHH", chunk)
    if tag == _EXTENSIBLE:
        if len(chunk) < 40 or chunk[26:40] != _SUBFORMAT_TAIL:
            raise MediaError("WAV: the extensible format chunk is broken")
        tag = struct.unpack_from("<H", chunk, 24)[0]
    if bits not in _WIDTHS.get(tag, ()):
        name = _NAMES.get(tag, f"format tag {tag}")
        raise MediaError(
            f"WAV: {name} of {bits} bits is not read; PCM 8/16/24/32 or float 32/64 is"
        )
    if channels == 0 or rate == 0:
        raise MediaError(f"WAV: {channels} channels at {rate} Hz")
    if block != channels * bits // 8 or byte_rate != block * rate:
        raise MediaError(
            f"WAV: {channels} channels of {bits} bits at {rate} Hz contradict "
            f"{block} bytes per frame and {byte_rate} per second"
        )
    return _Format(tag, channels, rate, bits)


def _samples(data: bytes, layout: _Format) -> Amplitudes:
    width = layout.bits // 8
    if not data:
        raise MediaError("WAV: there are no samples")
    if len(data) % (width * layout.channels):
        raise MediaError(
            f"WAV: {len(data)} bytes of data are no whole number of "
            f"{width * layout.channels}-byte frames"
        )
    if layout.tag == _FLOAT:
        flat = np.frombuffer(data, dtype=f"<f{width}").astype(np.float64)
        if not np.isfinite(flat).all():
            raise MediaError("WAV: there are samples that are NaN or infinite")
    elif width == 1:
        flat = (np.frombuffer(data, dtype=np.uint8).astype(np.float64) - 128.0) / 128.0
    elif width == 3:
        octets = np.frombuffer(data, dtype=np.uint8).reshape(-1, 3)
        padded = np.zeros((len(octets), 4), dtype=np.uint8)
        padded[:, 1:] = octets  # the sample in the upper three bytes of an int32
        flat = padded.reshape(-1).view("<i4").astype(np.float64) / 2.0**31
    else:
        flat = np.frombuffer(data, dtype=f"<i{width}").astype(np.float64) / 2.0 ** (layout.bits - 1)
    return flat.reshape(-1, layout.channels)


def wav_header(rate: int, samples: int | None) -> bytes:
    """The 44 bytes before mono 16-bit PCM; `samples` None writes sizes of 0xFFFFFFFF."""
    size = UNKNOWN if samples is None else 2 * samples
    riff = UNKNOWN if samples is None else 36 + size
    if riff > UNKNOWN:
        raise MediaError(f"{samples} samples do not fit into one WAV file")
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF", riff, b"WAVE", b"fmt ", 16, _PCM, 1, rate, 2 * rate, 2, 16, b"data", size,
    )  # fmt: skip


def pcm_bytes(codes: Codes, codec: AudioCodec) -> bytes:
    """Codes [T] as little-endian 16-bit PCM, the payload of a WAV file or of `audio/pcm`."""
    return pcm16(codec.decode(codes)).astype("<i2").tobytes()


def encode_wav(codes: Codes, codec: AudioCodec, rate: int) -> bytes:
    """One mono item [T] as a 16-bit WAV file."""
    if codes.ndim != 1:
        raise MediaError(f"a WAV file holds one item [T], not an array of {codes.ndim} axes")
    return wav_header(rate, len(codes)) + pcm_bytes(codes, codec)
