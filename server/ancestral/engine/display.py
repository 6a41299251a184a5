"""What notebooks show of models, samples and scores: HTML without scripts, and PNG.

Whatever a package says is escaped: its card is text that others wrote.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt

from ancestral import media
from ancestral.models.data import ConditionSpec
from ancestral.store import Package
from ancestral.store.card import read_card
from ancestral.store.manifest import Data

Array = npt.NDArray[Any]
MOST = 64  # items shown of many: a sheet of 8 by 8
PLAYERS = 8  # sounds, texts or tables of numbers
WIDTH = 480  # pixels that a sheet of small pictures is enlarged to, at most
STRIP = 48  # pixels, the height of a sound's map
_PIXELATED = "image-rendering: pixelated; image-rendering: crisp-edges"


def model_html(package: Package, conditions: Iterable[ConditionSpec]) -> str:
    """A model's card: what it is, what it takes, how good it is."""
    manifest = package.manifest
    card = read_card(package.path)
    rows = {
        "data": manifest.data.words,
        "family": manifest.family,
        "likelihood": str(manifest.likelihood["kind"]),
        "conditions": ", ".join(map(_condition, conditions)) or "none",
        "reference": "none"
        if manifest.reference is None
        else f"{len(manifest.reference.scores)} held-out items",
        **{name: f"{value:.4g}" for name, value in manifest.provenance.metrics.items()},
        "trained on": manifest.provenance.data,
        "licence": manifest.provenance.licence,
    }
    title = f"{escape(card.title or manifest.name)} <small>{escape(manifest.label)}</small>"
    return f"<h3>{title}</h3><p>{escape(card.summary)}</p>{_table(rows.items())}"


def _condition(spec: ConditionSpec) -> str:
    size = f"{spec.classes} classes" if spec.kind == "label" else f"{spec.channels} channels"
    names = f": {', '.join(spec.names)}" if spec.names else ""
    return f"{spec.name} ({spec.kind}, {size}{names})"


def samples_png(items: Array, data: Data | None) -> bytes | None:
    """A sheet of the pictures; None of items that are none."""
    codec = None if data is None else data.media_codec
    if not isinstance(codec, media.Levels | media.Palette):
        return None
    try:
        return media.encode_png(list(items[:MOST]), codec)
    except media.MediaError:  # such as pictures of two channels
        return None


def samples_html(items: Array, data: Data | None, seed: int, bits_per_dim: Array) -> str:
    """The items, to be seen, heard or read, and what the model says of them."""
    bits = ", ".join(f"{value:.3f}" for value in bits_per_dim[:PLAYERS])
    more = " …" if len(items) > PLAYERS else ""
    caption = f"<p>seed {seed}; {bits}{more} bits/dim</p>"
    png = samples_png(items, data)
    if png is not None:
        return _picture(png, "sampled pictures") + caption
    shown = [item_html(item, data) for item in items[:PLAYERS]]
    hidden = len(items) - len(shown)
    return "".join(shown) + (f"<p>and {hidden} more</p>" if hidden else "") + caption


def item_html(item: Array, data: Data | None) -> str:
    """An item that is no picture: an audio player, a text, a MIDI file, or its numbers."""
    match None if data is None else data.media_codec:
        case media.MuLaw() | media.Linear() as codec if data is not None:
            wav = _inline(media.encode_wav(item, codec, data.sample_rate or 0), "audio/wav")
            return f'<p><audio controls preload="metadata" src="{wav}"></audio></p>'
        case media.Text() as codec:
            return f"<pre>{escape(codec.decode(item))}</pre>"
        case media.Midi() as codec:
            midi = _inline(codec.decode(item), "audio/midi")
            return f'<p><a download="item.mid" href="{midi}">MIDI file</a></p>'
    return f"<pre>{escape(np.array2string(item, precision=4, threshold=100))}</pre>"


def score_html(surprise: Array, figures: Mapping[str, str]) -> str:
    """A score's figures, and its map of surprise in nats: [C, H, W], else [T]."""
    png = media.heat_map_png(surprise)
    height = None if surprise.ndim > 1 else STRIP
    alt = "surprise: dark is expected, bright surprising"
    return _table(figures.items()) + _picture(png, alt, height)


def _table(rows: Iterable[tuple[str, str]]) -> str:
    body = "".join(
        f'<tr><th style="text-align: left">{escape(name)}</th>'
        f'<td style="text-align: left">{escape(value)}</td></tr>'
        for name, value in rows
    )
    return f"<table>{body}</table>"


def _picture(png: bytes, alt: str, height: int | None = None) -> str:
    """A picture as many times its size as fits; a strip as wide as the others."""
    width = int.from_bytes(png[16:20], "big")  # of the PNG's header
    shown = WIDTH if height else width * max(1, WIDTH // width)
    style = f"max-width: 100%; {_PIXELATED}" + (f"; height: {height}px" if height else "")
    source = _inline(png, "image/png")
    return f'<img alt="{escape(alt)}" src="{source}" width="{shown}" style="{style}">'


def _inline(body: bytes, content_type: str) -> str:
    return f"data:{content_type};base64,{b64encode(body).decode()}"
