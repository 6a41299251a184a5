"""`ancestral sample --watch`: items in the terminal as far as they are sampled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from rich.console import Console, Group, RenderableType
from rich.text import Text

from ancestral.cli.preview import LINES, Picture, fitting, paintable, preview, waveform
from ancestral.media import Levels, Linear, MuLaw, Palette, sheet
from ancestral.media import Text as TextCodec

if TYPE_CHECKING:
    from ancestral.engine.model import Model
    from ancestral.engine.sampling import Chunk

Array = npt.NDArray[Any]

BLANK = (52, 60, 76)  # the colour of a pixel that is still to come: neither black nor grey


class Canvas:
    """What has come of `count` items of `sites` sites, of which as many are kept as are shown."""

    def __init__(self, model: Model, count: int, sites: int, first_item: int, console: Console):
        self._model, self._console = model, console
        self._codec = model.manifest.data.media_codec
        self._across, self._first = 1, first_item
        shown = min(count, LINES)
        self._painted = paintable(self._codec, model.data.shape)
        if self._painted:
            self._across, shown = fitting(model.data.shape, count, console)
        dtype = np.float64 if model.data.levels is None else np.int64
        self._values: Array = np.zeros((shown, sites, model.data.dims_per_site), dtype)
        self._there = np.zeros(self._values.shape, np.bool_)
        self._members = [0] * shown
        self._shown = shown

    def add(self, chunk: Chunk) -> None:
        """Put a chunk where it belongs."""
        index = chunk.item - self._first
        if index >= len(self._values):
            return
        sites = slice(chunk.first_site, chunk.first_site + len(chunk.values))
        self._values[index, sites] = chunk.values
        self._there[index, sites] = True
        self._members[index] = chunk.member

    def __rich__(self) -> RenderableType:
        """Pictures with what is still to come left blank; of anything else what is there."""
        match self._codec:
            case Levels() | Palette() if self._painted:
                return self._picture(self._codec)
            case MuLaw() | Linear():
                return Group(*(self._sound(self._codec, index) for index in range(self._shown)))
            case TextCodec():
                came = [self._values[i, : self._came(i), 0] for i in range(self._shown)]
                return preview(came, self._codec, self._console) or ""
        return preview(self._items(self._values), self._codec, self._console) or ""

    def _picture(self, codec: Levels | Palette) -> Picture:
        masks = [mask.max(axis=0, keepdims=True) for mask in self._items(self._there)]
        there = sheet([mask.astype(np.int64) for mask in masks], Levels(2), self._across)
        pixels = sheet(self._items(self._values), codec, self._across)
        return Picture(np.where(there == 0, np.array(BLANK, np.uint8)[:, None, None], pixels))

    def _sound(self, codec: MuLaw | Linear, index: int) -> Text:
        """As long as its part that is there."""
        came, whole = self._came(index), self._values.shape[1]
        width = max(1, self._console.width * came // whole)
        return waveform(codec.decode(self._values[index, :came, 0]), width)

    def _came(self, index: int) -> int:
        return int(self._there[index, :, 0].sum())

    def _items(self, by_rank: Array) -> list[Array]:
        return [
            self._model.item_of(values, member)
            for values, member in zip(by_rank, self._members, strict=True)
        ]
