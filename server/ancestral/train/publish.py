"""From trained weights to a package: figures, reference scores, manifest and model card."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from ancestral.models.network import Network
from ancestral.store.manifest import Manifest, Provenance
from ancestral.store.publish import save_package
from ancestral.store.versions import list_packages
from ancestral.train.calibration import HeldOut, score
from ancestral.train.datasets import DataSet
from ancestral.train.recipe import Recipe

_DTYPES = {"float32": torch.float32, "float16": torch.float16}


def publish(
    recipe: Recipe,
    network: Network,
    data: DataSet,
    output: Path,
    command: str,
    *,
    progress: bool = True,
) -> Path:
    """Write `output/NAME/VERSION` and return it.

    Test items evenly spread, at most half of them, become the reference of percentiles: the rest
    stays to check them with. The version is the recipe's, or the next one that is free.
    """
    dtype = _DTYPES[recipe.dtype]
    weights = {name: value.to(dtype) for name, value in network.module.state_dict().items()}
    network.module.load_state_dict(weights)  # figures are those of the stored precision
    conditions = [condition.spec for condition in recipe.conditions]
    test = data.test
    if recipe.test_items is not None and recipe.test_items < len(test):
        test = test.take(np.arange(recipe.test_items) * len(test) // recipe.test_items)
    whole = score(network, conditions, test, progress=progress)
    rows = reference_rows(len(whole.nats), recipe.reference_items)
    half = HeldOut(whole.nats[rows], whole.dimensions[rows])
    figures = Figures(whole, open_length=not recipe.data.shape)
    manifest = Manifest(
        name=recipe.name,
        version=next_version(output, recipe),
        family=recipe.family,
        hyperparameters=recipe.hyperparameters,
        data=recipe.data.model_copy(update={"palette": data.palette or recipe.data.palette}),
        likelihood=recipe.likelihood,
        conditions=recipe.conditions,
        order=order_of(network),
        orders={name: tuple(order.tolist()) for name, order in network.orders.items()},
        input_encoding=network.encoding,
        params_layout=network.params_layout,
        reference=half.reference(open_length=not recipe.data.shape, marginal=False),
        provenance=Provenance(
            data=data.description,
            licence=recipe.card.licence,
            command=command,
            seed=recipe.seed,
            metrics=figures.metrics(),
        ),
    )
    card = model_card(recipe, manifest, data, figures)
    return save_package(output, manifest, weights, card, dtype=dtype)


def order_of(network: Network) -> Literal["raster", "time", "ensemble"]:
    """The manifest's word for the order of a network of ours."""
    if network.orders:
        return "ensemble"
    return "raster" if network.data.shape else "time"


@dataclass(frozen=True)
class Figures:
    """The test figures in the units that papers use."""

    scores: HeldOut
    open_length: bool

    def metrics(self) -> dict[str, float]:
        found = {"test bits/dim": round(self.scores.bits_per_dim, 4)}
        if not self.open_length:
            found["test nats"] = round(self.scores.nats_per_item, 3)
        return found

    def text(self) -> str:
        count = f"{len(self.scores.nats)} test items"
        if self.open_length:
            return f"{self.scores.bits_per_dim:.3f} bits/dim over the {count}"
        return (
            f"{self.scores.nats_per_item:.2f} nats, {self.scores.bits_per_dim:.4f} bits/dim, "
            f"mean of the {count}"
        )


def reference_rows(count: int, most: int) -> npt.NDArray[np.int64]:
    """Test items that make the reference: evenly spread, as files are often sorted by class."""
    return np.arange(0, count, max(2, -(-count // most)))


def next_version(output: Path, recipe: Recipe) -> int:
    """The recipe's version, or one above the highest that is there."""
    taken = [entry.versions for entry in list_packages(output) if entry.name == recipe.name]
    return max([recipe.version, *(version + 1 for versions in taken for version in versions)])


def command_of(recipe_path: Path, data: Path | None) -> str:
    """The command that trains the package, as the card gives it."""
    words = ["ancestral", "train", recipe_path.as_posix()]
    if data is not None:
        words += ["--data", data.as_posix()]
    return shlex.join(words)


def model_card(recipe: Recipe, manifest: Manifest, data: DataSet, figures: Figures) -> str:
    """README.md: front matter as Hugging Face reads it, then what a user should know."""
    card = recipe.card
    training = recipe.training
    kind = {"adamw": "AdamW", "muon": "Muon for the layers' matrices and AdamW for the rest"}
    tags = "\n".join(f"- {tag}" for tag in ("autoregressive", recipe.family, *card.tags))
    metrics = "\n".join(f"- {name}" for name in manifest.provenance.metrics)
    reference = manifest.reference
    count = len(reference.scores) if reference is not None else 0
    source = recipe.source
    place = f"`ANCESTRAL_DATA` set to the folder that holds `{source.file}`"
    if source.package is not None:
        place = f"`{source.file}` of the package {source.package}"
    needed = f"with {place} (SHA-256\n`{source.sha256}`). "
    if "--data" in shlex.split(manifest.provenance.command):
        needed = ""  # files of the user's own took the place of the recipe's set
    parameters = f"{recipe.hyperparameters}".replace("'", "")
    notes = f"\n{card.notes.strip()}\n" if card.notes else ""
    return f"""---
license: {card.licence}
tags:
{tags}
datasets:
- {recipe.source.name}
metrics:
{metrics}
---
# {card.title}

{card.summary.strip()}

## Figures

Test: **{figures.text()}**.

Published: {card.published.strip()}
{notes}
Percentiles are ranks among the scores of {count} held-out items (test items evenly spread), which
the weights were neither trained nor selected on.

## Data

{data.description}: {len(data.train)} items for training, {len(data.valid)} for selection,
{len(data.test)} for testing. {card.attribution.strip()}

## Training

    {manifest.provenance.command}

{needed}Seed {recipe.seed}; {training.steps} steps of {training.batch} items with
{kind[training.optimizer]} at {training.learning_rate:g}, on one CPU core in float32. The weights
are a running mean, the best on the items for selection. Family `{recipe.family}`: {parameters}.

{card.longer.strip()}
"""
