"""Scores of held-out items: the figures of a model card, and what percentiles are ranks among."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.torch import load_file

from ancestral.models.data import ConditionSpec
from ancestral.models.network import Network
from ancestral.progress import bar
from ancestral.runtimes.scorer import scorer_of
from ancestral.store.files import CARD, WEIGHTS
from ancestral.store.manifest import Manifest, Reference
from ancestral.store.package import load_package
from ancestral.store.publish import save_package
from ancestral.train.datasets import DataError, Split, files_of, measured, read_items

BATCH = 50  # items scored at a time
LEAST = 20  # files that make a reference: a rank among fewer says little


@dataclass(frozen=True)
class HeldOut:
    """Scores of items, in their order: nats and dimensions of each."""

    nats: npt.NDArray[np.float64]
    dimensions: npt.NDArray[np.int64]

    @property
    def bits_per_dim(self) -> float:
        """Of all items together: every dimension counts the same."""
        return float(-self.nats.sum() / (self.dimensions.sum() * math.log(2)))

    @property
    def nats_per_item(self) -> float:
        """The mean negative log-likelihood of an item, as papers give it."""
        return float(-self.nats.mean())

    def reference(self, *, open_length: bool, marginal: bool) -> Reference:
        """Ascending log_prob, or bits/dim negated where lengths differ."""
        scores = self.nats
        if open_length:
            scores = self.nats / (self.dimensions * math.log(2))
        ranked = np.round(np.sort(scores), 4)
        return Reference(
            unit="-bits/dim" if open_length else "nats",
            scores=tuple(float(score) for score in ranked),
            marginal=marginal,
        )


def score(
    network: Network,
    conditions: Sequence[ConditionSpec],
    split: Split,
    *,
    progress: bool = False,
) -> HeldOut:
    """Score every item under its own conditions; labels that it does not have are summed out."""
    scorer = scorer_of(network, conditions)
    nats = np.zeros(len(split))
    dimensions = np.zeros(len(split), dtype=np.int64)
    with bar("items", quiet=not progress) as display:
        task = display.add_task("scoring", total=len(split))
        for first, size in split.runs(len(split), BATCH):
            codes, given = split.batch(range(first, first + size))
            if len(given) < len(conditions):
                series = iter(given)
                rows = [None if c.kind == "label" else next(series) for c in conditions]
                per_dim = scorer.marginal(codes, rows)
            else:
                per_dim = scorer.per_dim(codes, given)
            scored = slice(first, first + size)
            nats[scored] = per_dim.flatten(1).sum(1).numpy()
            dimensions[scored] = per_dim[0].numel()
            display.advance(task, size)
    return HeldOut(nats, dimensions)


def reference_items(manifest: Manifest, data: Path) -> Split:
    """The files under `data` as items of a package, a series measured of each.

    Raises DataError.
    """
    files = files_of(data)
    if len(files) < LEAST:
        raise DataError(f"{data}: holds {len(files)} items; a reference needs {LEAST}")
    series = tuple(
        measured(condition, files, manifest.data)
        for condition in manifest.conditions
        if condition.kind != "label"
    )
    return Split(read_items(files, manifest.data), series)


def calibrate(path: Path, data: Path, *, progress: bool = True) -> Reference:
    """Make the scores of the files under `data` the reference of the package folder `path`.

    The files should be normal items that the model was not trained on. Labels are summed out, a
    series is measured of each file. Raises DataError for files that do not fit the model,
    PackageError for a broken package.
    """
    package = load_package(path)
    split = reference_items(package.manifest, data)
    scores = score(package.network, package.conditions, split, progress=progress)
    reference = scores.reference(
        open_length=not package.data.shape,
        marginal=any(condition.kind == "label" for condition in package.conditions),
    )
    manifest = package.manifest.model_copy(update={"reference": reference})
    save_package(
        path.parent.parent,
        manifest,
        load_file(path / WEIGHTS),  # as they are stored, in their precision
        (path / CARD).read_text(encoding="utf-8"),
        replace=True,
    )
    return reference
