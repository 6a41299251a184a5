"""Still images in: PNG (and JPEG) to 8-bit pixels, checked before and after decoding."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from ancestral.media.codecs import Pixels
from ancestral.media.errors import LARGEST, MediaError, shape_text

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
JPEG_MAGIC = b"\xff\xd8\xff"
_ORIENTATION = 0x0112  # EXIF tag
_LUMA = "BT.601 luma"


@dataclass(frozen=True)
class _Target:
    channels: int
    height: int
    width: int
    most: int  # pixels of what it is made from

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.channels, self.height, self.width)


def read_image(
    body: bytes,
    channels: int,
    height: int,
    width: int,
    *,
    fit: bool,
    colours: bool = False,
    most: int = LARGEST,
) -> tuple[Pixels, list[str]]:
    """8-bit pixels [channels, height, width] and the steps that "fit" took to get there.

    Without `fit` the file must hold exactly these: no alpha, no 16-bit samples, no rotation by
    EXIF, no other size. A palette or a 1-bit image stands for its colours, and a grey one does
    where `colours` are wanted: grey is a colour. Raises MediaError, also for one of more than
    `most` pixels, before it is decoded.
    """
    target = _Target(channels, height, width, most)
    deep = _check_header(body, target, fit)
    try:
        with Image.open(io.BytesIO(body), formats=("PNG", "JPEG")) as image:
            frames = getattr(image, "n_frames", 1)
            if frames > 1:
                raise MediaError(f"the image is an animation of {frames} frames")
            _check_size(image.width, image.height, target, fit)
            image.load()
            turned = image.getexif().get(_ORIENTATION, 1) not in (0, 1)
            picture = ImageOps.exif_transpose(image) if turned and fit else image.copy()
    except MediaError:
        raise
    except (
        OSError,
        SyntaxError,
        ValueError,
        KeyError,
        IndexError,
        TypeError,
        struct.error,
        zlib.error,
        EOFError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ) as error:
        raise MediaError(f"the image does not decode: {error}") from error
    steps = []
    if turned:
        if not fit:
            raise MediaError('the image is rotated by its EXIF orientation; "fit": true applies it')
        steps.append("applied EXIF orientation")
    if deep:
        steps.append("reduced 16-bit samples to their high byte")
    plain = _plain(picture)
    if colours and plain.mode == "L" and channels == 3:
        plain = plain.convert("RGB")
    return _to_target(plain, target, steps, fit)


def _check_header(body: bytes, target: _Target, fit: bool) -> bool:
    """Refuse a PNG by its header, before anything is inflated; true where it is 16 bits deep."""
    if not body.startswith(PNG_MAGIC):
        if body.startswith(JPEG_MAGIC):
            return False
        raise MediaError("not a PNG or JPEG file")
    if len(body) < 33 or body[12:16] != b"IHDR":
        raise MediaError("PNG: the file ends within its header")
    at = len(PNG_MAGIC)
    while body[at + 4 : at + 8] != b"IEND":
        at += 12 + int.from_bytes(body[at : at + 4], "big")  # length, name, contents, checksum
        if at + 12 > len(body):
            raise MediaError("PNG: the file is cut off")
    width, height, depth = struct.unpack_from(">IIB", body, 16)
    _check_size(width, height, target, fit)
    if depth == 16 and not fit:
        raise MediaError('PNG: 16-bit samples where 8-bit are expected; "fit": true reduces them')
    return bool(depth == 16)


def _check_size(width: int, height: int, target: _Target, fit: bool) -> None:
    if not fit and (height, width) != (target.height, target.width):
        raise MediaError(
            f"image of {shape_text((height, width))} (height, width) where "
            f"{shape_text((target.height, target.width))} is expected; "
            '"fit": true resizes it'
        )
    if width * height > target.most:
        raise MediaError(f"image of {width}×{height} pixels; at most {target.most} are decoded")


def _plain(image: Image.Image) -> Image.Image:
    """The same picture in mode L, LA, RGB or RGBA: stands for its colours, loses nothing."""
    if image.mode.startswith("I"):
        high = np.asarray(image).astype(np.int64) >> 8
        return Image.fromarray(high.clip(0, 255).astype(np.uint8))
    if "transparency" in image.info:
        return image.convert("RGBA")
    match image.mode:
        case "L" | "LA" | "RGB" | "RGBA":
            return image
        case "1":
            return image.convert("L")
        case "P":
            colours = image.convert("RGB")
            pixels = np.asarray(colours)
            grey = bool((pixels == pixels[..., :1]).all())
            return colours.convert("L") if grey else colours
    raise MediaError(f"images of mode {image.mode} are not read; grey, RGB and palette are")


def _to_target(
    image: Image.Image, target: _Target, steps: list[str], fit: bool
) -> tuple[Pixels, list[str]]:
    bands = len(image.getbands())
    if not fit:
        found = (bands, image.height, image.width)
        if found != target.shape:
            alpha = " (with alpha)" if bands in (2, 4) else ""
            raise MediaError(
                f"image of shape {shape_text(found)}{alpha} where {shape_text(target.shape)} "
                'is expected; "fit": true converts it'
            )
        return _pixels(image), steps
    if bands in (2, 4):
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        black.alpha_composite(image.convert("RGBA"))
        image = black.convert("L" if bands == 2 else "RGB")
        steps.append("composed alpha over black")
    if image.mode == "RGB" and target.channels == 1:
        image = image.convert("L")
        steps.append(f"reduced colour to {_LUMA}")
    elif image.mode == "L" and target.channels == 3:
        image = image.convert("RGB")
        steps.append("replicated grey to 3 channels")
    elif len(image.getbands()) != target.channels:
        raise MediaError(f"an image cannot be fitted to {target.channels} channels")
    if (image.height, image.width) != (target.height, target.width):
        steps.append(
            f"resized {image.height}×{image.width} to {target.height}×{target.width} "
            "(antialiased bicubic)"
        )
        image = image.resize((target.width, target.height), Image.Resampling.BICUBIC)
    return _pixels(image), steps


def _pixels(image: Image.Image) -> Pixels:
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))
