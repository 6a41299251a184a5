"""Items in a terminal: pictures as half-block characters, sounds as sparklines, text as it is."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from rich.color import Color
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text

from ancestral.media import Codec, Levels, Linear, MuLaw, Palette, heat_map_pixels, sheet
from ancestral.media import Text as TextCodec

Pixels = npt.NDArray[np.uint8]

GAP = 2  # pixels between the pictures of a sheet
ROWS = 48  # terminal rows of a preview, at most
BARS = "▁▂▃▄▅▆▇█"
LINES = 8  # sounds, or lines of text, shown of many


@dataclass(frozen=True, slots=True)
class Picture:
    """Pixels [1 or 3, H, W]: two of them above each other are a character.

    One that is wider than the terminal is shrunk. Where there are no colours, light pixels are
    filled and dark ones are not.
    """

    pixels: Pixels

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        width = min(self.pixels.shape[2], options.max_width)
        return Measurement(width, width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        rows = _shrunk(self.pixels, options.max_width)
        if len(rows) % 2:
            rows = np.concatenate([rows, np.zeros_like(rows[:1])])
        plain = console.no_color or console.color_system is None
        for upper, lower in zip(rows[::2], rows[1::2], strict=True):
            yield from _plain(upper, lower) if plain else _coloured(upper, lower)
            yield Segment.line()


def _shrunk(pixels: Pixels, width: int) -> Pixels:
    """The pixels [H, W, 3] of a picture at most `width` wide, by the mean over areas."""
    rgb = np.broadcast_to(pixels, (3, *pixels.shape[1:])).transpose(1, 2, 0)
    if rgb.shape[1] <= width:
        return rgb
    size = (width, max(1, round(rgb.shape[0] * width / rgb.shape[1])))
    image = Image.fromarray(np.ascontiguousarray(rgb)).resize(size, Image.Resampling.BOX)
    return np.asarray(image)


def _coloured(upper: Pixels, lower: Pixels) -> Iterable[Segment]:
    pairs = zip(upper.tolist(), lower.tolist(), strict=True)
    for (above, below), alike in itertools.groupby(pairs):  # one escape sequence for all of them
        style = Style(color=Color.from_rgb(*above), bgcolor=Color.from_rgb(*below))
        yield Segment("▀" * len(list(alike)), style)


def _plain(upper: Pixels, lower: Pixels) -> Iterable[Segment]:
    light = np.stack([upper, lower]).mean(axis=-1) > 127
    yield Segment("".join(" ▀▄█"[above + 2 * below] for above, below in light.T.tolist()))


def sparkline(values: npt.NDArray[Any], width: int) -> str:
    """Values [T] as at most `width` bars: the highest of each stretch, of eight heights."""
    if len(values) == 0:
        return ""
    parts = np.array_split(np.asarray(values, np.float64), min(width, len(values)))
    peaks = np.array([part.max() for part in parts])
    low, high = peaks.min(), peaks.max()
    heights = (peaks - low) / (high - low) * (len(BARS) - 1) if high > low else np.zeros(len(peaks))
    return "".join(BARS[round(height)] for height in heights)


def waveform(amplitudes: npt.NDArray[np.float64], width: int) -> Text:
    """A sound [T] as at most `width` bars: its largest amplitude in each stretch, of 1 at most."""
    parts = np.array_split(np.abs(amplitudes), max(1, min(width, len(amplitudes))))
    peaks = np.array([part.max(initial=0) for part in parts]).clip(0, 1)
    bars = "".join(BARS[round(peak * (len(BARS) - 1))] for peak in peaks)
    return Text(bars, style="cyan", no_wrap=True)


def fitting(shape: Sequence[int], count: int, console: Console) -> tuple[int, int]:
    """Pictures [C, H, W] side by side, and how many of `count` there is room for."""
    _, height, width = shape
    rows = min(ROWS, console.height - 4)  # a title and a progress bar have room beside it
    down = max(1, (2 * rows + GAP) // (height + GAP))
    across = max(1, (console.width + GAP) // (width + GAP))
    across = min(across, max(math.ceil(math.sqrt(count)), math.ceil(count / down)))
    return across, min(count, across * down)


def paintable(codec: Codec | None, shape: Sequence[int]) -> bool:
    """Whether items [C, H, W] are pictures in grey or in colour."""
    return isinstance(codec, Levels | Palette) and (codec.channels or shape[0]) in (1, 3)


def preview(
    items: Sequence[npt.NDArray[Any]], codec: Codec | None, console: Console
) -> RenderableType | None:
    """Items as codes, as far as there is room for them; None where nothing of them can be shown."""
    match codec:
        case Levels() | Palette():
            if not paintable(codec, items[0].shape):
                return None
            across, shown = fitting(items[0].shape, len(items), console)
            return Picture(sheet(items[:shown], codec, across))
        case MuLaw() | Linear():
            return Group(*(waveform(codec.decode(i), console.width) for i in items[:LINES]))
        case TextCodec():
            return Text("\n".join(codec.decode(item) for item in items[:LINES]))
    if items[0].ndim == 1 and codec is None:
        return Group(*(Text(sparkline(item, console.width)) for item in items[:LINES]))
    return None


def surprise(
    item: npt.NDArray[Any],
    log_prob: npt.NDArray[np.float64],
    codec: Codec | None,
    console: Console,
) -> RenderableType:
    """An item beside its map of surprise; of a sound or a text, bars of surprise below it."""
    if isinstance(codec, Levels | Palette) and (shown := preview([item], codec, console)):
        beside = Table.grid(padding=(0, 2))
        beside.add_row(shown, Picture(heat_map_pixels(log_prob)))
        return beside
    bars = Text(sparkline(-log_prob.reshape(-1), console.width), style="red", no_wrap=True)
    return Group(preview([item], codec, console) or "", bars)
