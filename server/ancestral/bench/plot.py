"""The rows as a picture; matplotlib comes with the extra `bench`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ancestral.bench.row import Row


def plot(rows: Sequence[Row], file: Path) -> None:
    """sample/score of each model by runtime and batch, beside the naive loop: PNG, SVG or PDF.

    Raises ValueError where matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ValueError("--plot needs matplotlib: pip install 'ancestral[bench]'") from error
    models = list(dict.fromkeys(row.model for row in rows))
    figure = Figure(figsize=(9, 1.5 + 0.3 * len(models)), layout="constrained")
    axes = figure.add_subplot()
    for kind in dict.fromkeys(row.runtime for row in rows):
        for batch in sorted({row.batch for row in rows}):
            some = [row for row in rows if row.runtime == kind and row.batch == batch]
            heights = [models.index(row.model) for row in some]
            axes.plot([row.sample_score for row in some], heights, "o", label=f"{kind}, {batch}")
    naive = {row.model: row.naive_score for row in rows}
    heights = [models.index(model) for model in naive]
    axes.plot(list(naive.values()), heights, "k|", label="naive loop")
    axes.axvline(1, color="grey", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlabel("time to sample over time to score (1: the limit)")
    axes.set_yticks(range(len(models)), models)
    axes.invert_yaxis()
    axes.legend(title="runtime, batch", fontsize="small")
    figure.savefig(file)
