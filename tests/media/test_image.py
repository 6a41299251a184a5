from __future__ import annotations

import contextlib
import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ancestral.media import MediaError
from ancestral.media.image import read_image

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
COLOUR = np.stack([GREY, 255 - GREY, GREY // 2], axis=-1)


def png(array: np.ndarray, mode: str | None = None, **options: Any) -> bytes:
    return saved(
        Image.fromarray(array) if mode is None else Image.fromarray(array).convert(mode), **options
    )


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def bare_png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def test_exact_images() -> None:
    assert (read_image(png(GREY), 1, 3, 4, fit=False)[0] == GREY[None]).all()
    pixels, steps = read_image(png(COLOUR), 3, 3, 4, fit=False)
    assert (pixels == COLOUR.transpose(2, 0, 1)).all()
    assert steps == []


def test_palettes_and_bits_stand_for_their_colours() -> None:
    few = COLOUR // 128 * 255
    assert (read_image(png(few, "P"), 3, 3, 4, fit=False)[0] == few.transpose(2, 0, 1)).all()
    bits = GREY // 128 * 255
    assert (read_image(png(bits, "1"), 1, 3, 4, fit=False)[0] == bits[None]).all()
    grey_palette = Image.fromarray(GREY).convert("RGB").quantize(16)
    assert (read_image(saved(grey_palette), 1, 3, 4, fit=False)[0] == GREY[None]).all()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (png(GREY), r"\[3, 4\] \(height, width\) where \[28, 28\]"),
        (png(np.zeros((28, 28, 3), np.uint8)), r"\[3, 28, 28\] where \[1, 28, 28\]"),
        (png(np.zeros((28, 28), np.uint8), "LA"), r"\[2, 28, 28\] \(with alpha\)"),
        (png(np.zeros((28, 28), np.uint16)), "16-bit"),
        (bare_png(28, 28, 16, 2, b"\x00" * (28 * 6 + 1) * 28), "16-bit"),
        (b"GIF89a" + b"\x00" * 50, "not a PNG"),
        (b"\x89PNG\r\n\x1a\n", "within its header"),
        (bare_png(50_000, 50_000, 8, 0, b""), r"\[50000, 50000\]"),
        (bare_png(28, 28, 8, 0, b"\x00" * 40), "does not decode"),
        (bare_png(28, 28, 3, 0, b"\x00" * 40), "does not decode"),
    ],
)
def test_mismatches(body: bytes, message: str) -> None:
    with pytest.raises(MediaError, match=message):
        read_image(body, 1, 28, 28, fit=False)


def test_decompression_bombs_are_refused_by_their_header() -> None:
    bomb = bare_png(50_000, 50_000, 8, 0, b"\x00" * 1000)
    with pytest.raises(MediaError, match="at most 50000000"):
        read_image(bomb, 1, 28, 28, fit=True)
    jpeg = bytearray(saved(Image.fromarray(GREY), "JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", 60_000, 60_000)
    with pytest.raises(MediaError):
        read_image(bytes(jpeg), 1, 28, 28, fit=True)


def test_every_truncation_is_refused() -> None:
    whole = png(np.random.default_rng(0).integers(0, 255, (28, 28), dtype=np.uint8))
    for length in range(0, len(whole) - 16, 5):
        with pytest.raises(MediaError):
            read_image(whole[:length], 1, 28, 28, fit=False)


@given(st.integers(0, 400), st.integers(0, 255))
def test_a_flipped_byte_never_escapes_as_another_error(at: int, value: int) -> None:
    whole = bytearray(png(COLOUR))
    whole[at % len(whole)] = value
    with contextlib.suppress(MediaError):
        read_image(bytes(whole), 3, 3, 4, fit=True)


def test_animations_are_refused() -> None:
    frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    body = saved(frames[0], save_all=True, append_images=frames[1:])
    with pytest.raises(MediaError, match="animation of 2 frames"):
        read_image(body, 1, 3, 4, fit=True)


def test_fit_colour_to_luma() -> None:
    """ITU-R BT.601: Y = 0.299 R + 0.587 G + 0.114 B."""
    pixels, steps = read_image(png(COLOUR), 1, 3, 4, fit=True)
    luma = COLOUR @ np.array([0.299, 0.587, 0.114])
    assert np.abs(pixels[0] - luma).max() <= 0.51
    assert steps == ["reduced colour to BT.601 luma"]
    grey, steps = read_image(png(GREY), 3, 3, 4, fit=True)
    assert (grey == GREY[None]).all()
    assert steps == ["replicated grey to 3 channels"]


def test_fit_alpha_over_black() -> None:
    half = np.dstack([COLOUR, np.full((3, 4), 128, np.uint8)])
    pixels, steps = read_image(png(half), 3, 3, 4, fit=True)
    assert np.abs(pixels - COLOUR.transpose(2, 0, 1) * (128 / 255)).max() <= 1
    assert steps == ["composed alpha over black"]


def test_a_transparent_colour_is_alpha() -> None:
    for body in (png(GREY, transparency=20), png(COLOUR, transparency=(0, 255, 0))):
        with pytest.raises(MediaError, match="with alpha"):
            read_image(body, 1, 3, 4, fit=False)
    grey, steps = read_image(png(GREY, transparency=20), 1, 3, 4, fit=True)
    assert (grey[0] == np.where(GREY == 20, 0, GREY)).all()
    assert steps == ["composed alpha over black", "reduced colour to BT.601 luma"]


def test_fit_orientation() -> None:
    turned = Image.fromarray(GREY)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise by 90 degrees to show
    body = saved(turned, exif=exif)
    with pytest.raises(MediaError, match="EXIF"):
        read_image(body, 1, 3, 4, fit=False)
    pixels, steps = read_image(body, 1, 4, 3, fit=True)
    assert (pixels[0] == np.rot90(GREY, -1)).all()
    assert steps == ["applied EXIF orientation"]


def test_fit_resizes_without_aliasing() -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))
    pixels, steps = read_image(png(stripes), 1, 8, 8, fit=True)
    assert np.abs(pixels.astype(int) - 127).max() <= 12  # one pixel in eight would be all 0
    assert steps == ["resized 64×64 to 8×8 (antialiased bicubic)"]


def test_fit_16_bit() -> None:
    deep = (GREY.astype(np.uint16) << 8) + 77
    pixels, steps = read_image(png(deep), 1, 3, 4, fit=True)
    assert (pixels[0] == GREY).all()
    assert steps == ["reduced 16-bit samples to their high byte"]
