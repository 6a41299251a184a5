"""Where items lie among the held-out ones that a package was measured on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ancestral.engine.model import Model
from ancestral.engine.sampling import bits_per_dim
from ancestral.engine.scoring import Score
from ancestral.notebook.axes import axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LABELLED = 8  # lines with a percentile beside them; more would cover one another


def reference_bits(model: Model) -> npt.NDArray[np.float64]:
    """The package's reference scores in bits per dimension, [n]. Raises ValueError without one."""
    reference = model.manifest.reference
    if reference is None:
        raise ValueError(f"{model.name} has no reference; `ancestral calibrate` makes one")
    scores = np.asarray(reference.scores)
    if reference.unit == "-bits/dim":
        return -scores
    found: Any = bits_per_dim(scores, model.data.dimensions(model.default_sites))
    return np.asarray(found)


def reference_histogram(
    model: Model, scores: Sequence[Score] | Score = (), ax: Axes | None = None
) -> Axes:
    """The reference as a histogram over bits per dimension, and a line for each score.

    To the right is less likely: a line beyond the histogram is an anomaly, and so, with models of
    images, may be one far to the left. The percentile beside a line is the share of reference
    items that are less likely. Raises ValueError where the package has no reference.
    """
    bits = reference_bits(model)
    ax = axes(ax)
    ax.hist(bits, bins="auto", color="#9aa7b8")
    chosen = [scores] if isinstance(scores, Score) else list(scores)
    for number, score in enumerate(chosen):
        ax.axvline(score.bits_per_dim, color="#c2410c", linewidth=1.5)
        if number < LABELLED and score.percentile is not None:
            height = 0.97 - 0.09 * (number % 5)
            ax.annotate(
                f" {score.percentile:.1f} %",
                (score.bits_per_dim, height),
                xycoords=("data", "axes fraction"),
                color="#c2410c",
                va="top",
                bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "linewidth": 0},
            )
    count = f"of {len(bits):,} held-out items"
    ax.set(xlabel="bits per dimension", ylabel=count, title=model.name)
    return ax
