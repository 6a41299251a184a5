"""Pictures out: items as PNG (a grid for several) and maps of surprise as heat-map PNG."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image

from ancestral.media.codecs import Codes, Levels, Palette, Pixels
from ancestral.media.errors import MediaError, shape_text

_GAP = 2  # pixels of grey between the items of a grid
_BACKGROUND = 128
_STRIP_HEIGHT = 64  # pixels, of the heat map of a sound
_STRIP_WIDTH = 1024  # pixels at most
# Oklab waypoints (lightness, a, b): near black, violet, red, orange, pale yellow.
_WAYPOINTS = np.array(
    [
        [0.10, 0.00, -0.02],
        [0.35, 0.10, -0.12],
        [0.55, 0.19, 0.03],
        [0.76, 0.08, 0.14],
        [0.97, -0.02, 0.09],
    ]
)


def encode_png(
    items: Sequence[Codes], codec: Levels | Palette, columns: int | None = None
) -> bytes:
    """Items [C, H, W] as one PNG: the image itself for one, a near-square grid for several."""
    return _png(sheet(items, codec, columns))


def sheet(
    items: Sequence[Codes],
    codec: Levels | Palette,
    columns: int | None = None,
    drawn: Sequence[npt.NDArray[np.bool_]] | None = None,
) -> Pixels:
    """The pixels [1 or 3, H, W] that `encode_png` writes. Raises MediaError.

    A pixel is grey where its item's `drawn` [H, W] is false.
    """
    if not items:
        raise MediaError("there are no items to draw")
    pictures = [codec.decode(item) for item in items]
    if pictures[0].shape[0] not in (1, 3):
        raise MediaError(f"items of shape {shape_text(items[0].shape)} have no PNG; ask for NPY")
    if drawn is not None:
        grey = np.uint8(_BACKGROUND)
        pictures = [np.where(seen, p, grey) for p, seen in zip(pictures, drawn, strict=True)]
    return pictures[0] if len(pictures) == 1 else _grid(pictures, columns)


def _grid(pictures: Sequence[Pixels], columns: int | None) -> Pixels:
    across = columns or math.ceil(math.sqrt(len(pictures)))
    down = math.ceil(len(pictures) / across)
    channels, height, width = pictures[0].shape
    sheet = np.full(
        (channels, down * (height + _GAP) - _GAP, across * (width + _GAP) - _GAP),
        _BACKGROUND,
        dtype=np.uint8,
    )
    for index, picture in enumerate(pictures):
        row, column = divmod(index, across)
        top, left = row * (height + _GAP), column * (width + _GAP)
        sheet[:, top : top + height, left : left + width] = picture
    return sheet


def _png(pixels: Pixels) -> bytes:
    """Pixels [C, H, W] with C of 1 or 3 as a PNG file."""
    array = pixels[0] if pixels.shape[0] == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0))
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="PNG")
    return buffer.getvalue()


def heat_map_png(
    log_prob: npt.NDArray[np.float64], limits: tuple[float, float] | None = None
) -> bytes:
    """`heat_map_pixels` as a PNG file."""
    return _png(heat_map_pixels(log_prob, limits))


def heat_map_pixels(
    log_prob: npt.NDArray[np.float64], limits: tuple[float, float] | None = None
) -> Pixels:
    """Surprise (−log p, nats) of each site as colour: dark is expected, bright is surprising.

    Pixels [3, H, W].

    `log_prob` is [C, H, W] for an image (channels are summed) or [T] for a sound, drawn as a strip
    of at most 1024 columns that are means over time. `limits` are the nats of the two ends;
    without them 0 and the map's 99.5th percentile.
    """
    surprise = -np.asarray(log_prob, dtype=np.float64)
    if surprise.ndim == 3:
        surprise = surprise.sum(axis=0)
    elif surprise.ndim == 1:
        parts = np.array_split(surprise, min(len(surprise), _STRIP_WIDTH))
        surprise = np.tile([part.mean() for part in parts], (_STRIP_HEIGHT, 1))
    else:
        raise MediaError(f"no heat map of shape {shape_text(surprise.shape)}; [C, H, W] or [T]")
    surprise = np.nan_to_num(surprise, nan=np.inf, posinf=np.inf)
    finite = surprise[np.isfinite(surprise)]
    ceiling = float(np.percentile(finite, 99.5)) if len(finite) else 1.0
    low, high = limits or (0.0, max(ceiling, 1e-9))
    if not high > low:
        raise MediaError(f"heat map limits {low} and {high} are not ascending")
    shade = ((np.clip(surprise, low, high) - low) / (high - low) * 255.0).astype(np.uint8)
    return colour_table()[shade].transpose(2, 0, 1)


@cache
def colour_table() -> Pixels:
    """256 sRGB colours [256, 3] of even and rising lightness, by way of Oklab (Ottosson 2020)."""
    at = np.linspace(0.0, len(_WAYPOINTS) - 1, 256)
    knots = np.arange(len(_WAYPOINTS))
    lab = np.stack([np.interp(at, knots, _WAYPOINTS[:, axis]) for axis in range(3)], axis=-1)
    lab[:, 0] = np.linspace(_WAYPOINTS[0, 0], _WAYPOINTS[-1, 0], 256)
    to_cones = np.array(
        [
            [1.0, 0.3963377774, 0.2158037573],
            [1.0, -0.1055613458, -0.0638541728],
            [1.0, -0.0894841775, -1.2914855480],
        ]
    )
    to_linear = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    linear = np.clip((lab @ to_cones.T) ** 3 @ to_linear.T, 0.0, 1.0)
    gamma = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    table: Pixels = np.floor(gamma * 255.0 + 0.5).astype(np.uint8)
    return table
