"""A moving picture of images that are painted in their generation order, as GIF."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from ancestral.media.codecs import Codes, Levels, Palette
from ancestral.media.picture import sheet

FRAMES = 56  # of the painting itself
_MILLISECONDS = 70  # a frame; browsers slow down below 20
_LAST_MILLISECONDS = 2000  # the finished picture, before it begins again
_SIDE = 320  # pixels at least of the longer side, in whole multiples


def encode_gif(
    items: Sequence[Codes],
    ranks: Sequence[npt.NDArray[np.int64]],
    codec: Levels | Palette,
    columns: int | None = None,
) -> bytes:
    """Items [C, H, W] as an endless GIF; `ranks` [H, W] of each say when a pixel is drawn.

    What is not drawn yet has the grey of the gaps. Raises MediaError for items without a picture.
    """
    total = int(ranks[0].size)
    frames = []
    for drawn in np.linspace(0, total, FRAMES + 1).round().astype(int):
        pixels = sheet(items, codec, columns, [rank < drawn for rank in ranks])
        scale = max(1, -(-_SIDE // max(pixels.shape[1:])))
        picture = np.ascontiguousarray(pixels.transpose(1, 2, 0))
        image = Image.fromarray(picture[..., 0] if pixels.shape[0] == 1 else picture)
        size = (image.width * scale, image.height * scale)
        frames.append(image.resize(size, Image.Resampling.NEAREST))
    buffer = io.BytesIO()
    frames[0].save(
        buffer,
        format="GIF",
        save_all=True,
        append_images=frames[1:],
        duration=[_MILLISECONDS] * FRAMES + [_LAST_MILLISECONDS],
        loop=0,
    )
    return buffer.getvalue()
