"""Maps over an item: how surprising each site was, and how uncertain the model before it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ancestral.engine.model import Model
from ancestral.media import Linear, MuLaw, colour_table
from ancestral.notebook.axes import axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Bits = npt.NDArray[np.float64]
SMOOTHED = 400  # points that a line along time has at most: the means of as many stretches


def surprise_map(
    model: Model,
    item: Any,
    condition: Mapping[str, Any] | None = None,
    *,
    marginal: bool = False,
    order: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """-log₂ p of each site given those before it, in bits: over a picture, or along time.

    Arguments as of `Model.log_prob`, for one item.
    """
    (score,) = model.log_prob([item], condition, marginal, order)
    return _drawn(model, item, -score.per_dim / math.log(2), "surprise", ax)


def entropy_map(
    model: Model,
    item: Any,
    condition: Mapping[str, Any] | None = None,
    *,
    order: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """The entropy of each site's distribution given the item's earlier ones, in bits.

    It is the surprise that the model expects there. Arguments as of `Model.entropy`, for one item.
    """
    (nats,) = model.entropy([item], condition, order)
    return _drawn(model, item, nats / math.log(2), "entropy", ax)


def _drawn(model: Model, item: Any, per_dim: Bits, name: str, ax: Axes | None) -> Axes:
    """Bits [S, C] summed over a site's dimensions, where the sites lie."""
    bits = per_dim.sum(axis=1)
    if model.data.kind == "image":
        return _picture(bits.reshape(model.data.shape[1:]), name, axes(ax, 4.2, 3.4))
    return _line(model, np.asarray(item), bits, name, axes(ax, 7.0, 2.6))


def _picture(bits: Bits, name: str, ax: Axes) -> Axes:
    from matplotlib.colors import ListedColormap

    colours = ListedColormap(colour_table() / 255.0)
    low, high = min(0.0, float(bits.min())), float(np.percentile(bits, 99.5))
    shown = ax.imshow(bits, cmap=colours, vmin=low, vmax=max(high, low + 1e-9))
    bar = ax.figure.colorbar(shown, ax=ax)
    bar.set_label(f"{name}, bits per site")
    ax.set(xticks=[], yticks=[])
    return ax


def _line(model: Model, item: npt.NDArray[Any], bits: Bits, name: str, ax: Axes) -> Axes:
    """Along time or place; a sound's waveform lies behind it."""
    rate = model.data.sample_rate
    scale = 1.0 if rate is None else 1 / rate
    codec = model.manifest.data.media_codec
    if isinstance(codec, MuLaw | Linear):
        behind = ax.twinx()
        behind.plot(np.arange(len(item)) * scale, codec.decode(item), color="#c9d1dc", lw=0.5)
        behind.set(ylim=(-1, 1), yticks=[])
        behind.set_zorder(ax.get_zorder() - 1)
        ax.patch.set_visible(False)
    parts = np.array_split(np.arange(len(bits)), min(SMOOTHED, len(bits)))
    at = [part.mean() * scale for part in parts]
    ax.plot(at, [bits[part].mean() for part in parts], color="#c2410c", linewidth=1.0)
    ax.set(xlabel="site" if rate is None else "seconds", ylabel=f"{name}, bits per site")
    return ax
