"""`ancestral train`: follow a recipe from data to a published package."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import time
from pathlib import Path

import torch

from ancestral import likelihoods, models
from ancestral.models.network import Network
from ancestral.progress import bar
from ancestral.train import datasets
from ancestral.train.augment import augmented
from ancestral.train.batches import Batches
from ancestral.train.loop import fit
from ancestral.train.publish import command_of, publish
from ancestral.train.recipe import Recipe, read_recipe

# What of the training may be decided after it has begun: it says what later steps do.
LATER = {"steps", "decay", "coarse", "coarse_from"}
PLAIN_SECONDS = 30.0  # between two lines where the output is no terminal


def network_of(recipe: Recipe) -> Network:
    """The recipe's network with the initial weights of its seed."""
    torch.manual_seed(recipe.seed)
    return models.build(
        recipe.family,
        recipe.hyperparameters,
        recipe.data.spec,
        likelihoods.from_config(recipe.likelihood),
        [condition.spec for condition in recipe.conditions],
        encoding=recipe.input_encoding,
    )


def fitted(
    recipe: Recipe, data: datasets.DataSet, folder: Path, *, resume: bool, progress: bool
) -> Network:
    """The recipe's network, trained; checkpoints go to `folder`."""
    network = network_of(recipe)
    if recipe.data.kind == "image":
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    training = recipe.training
    batches = Batches(
        data.train,
        training.batch,
        recipe.seed,
        longest=training.longest,
        silence=training.silence,
        pad=(recipe.data.levels or 0) // 2,
    )
    with _Display(recipe, progress) as display:
        fit(
            network,
            training,
            batches,
            data.valid,
            folder / "checkpoint.safetensors",
            resume=resume,
            report=display.report,
        )
    return network.eval()


def train(
    recipe: Path,
    *,
    data: Path | None = None,
    output: Path,
    resume: bool = True,
    progress: bool = True,
) -> Path:
    """Train the recipe's package and publish it as `output/NAME/VERSION`; the folder's path.

    `data` is a folder of the user's own files; None: the set that the recipe names, from the
    folder ANCESTRAL_DATA. A run that was broken off goes on where its checkpoint in
    `output/.training` stands, unless `resume` is false. An existing package is kept: the new one
    takes the next version. Raises RecipeError and DataError.
    """
    plan = read_recipe(recipe)
    loaded = datasets.load(plan, data)
    if plan.transformations:
        loaded = augmented(plan, loaded)
    output.mkdir(parents=True, exist_ok=True)
    folder = output / ".training" / f"{plan.name}-{identity(plan, loaded)}"
    network = fitted(plan, loaded, folder, resume=resume, progress=progress)
    path = publish(plan, network, loaded, output, command_of(recipe, data), progress=progress)
    shutil.rmtree(folder)
    if not any(folder.parent.iterdir()):
        folder.parent.rmdir()
    return path


def identity(recipe: Recipe, data: datasets.DataSet) -> str:
    """A digest of what a run may not change when it is resumed: its steps so far."""
    fixed = recipe.model_dump(mode="json", exclude={"card": True, "training": LATER})
    whole = [fixed, data.description, len(data.train)]
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:8]


class _Display:
    """A progress bar on a terminal, a line now and then elsewhere."""

    def __init__(self, recipe: Recipe, progress: bool) -> None:
        self._progress = bar("steps", quiet=not progress or not sys.stderr.isatty())
        self._console = self._progress.console
        self._plain = progress and not sys.stderr.isatty()
        self._name = recipe.name
        self._task = self._progress.add_task(recipe.name, total=recipe.training.steps)
        self._mean: float | None = None
        self._last = time.monotonic()

    def __enter__(self) -> _Display:
        self._progress.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._progress.stop()

    def report(self, step: int, bits: float, validated: float | None) -> None:
        if self._mean is None:  # of a run that goes on, earlier steps do not count for the rate
            self._progress.reset(self._task, completed=step)
        self._mean = bits if self._mean is None else 0.98 * self._mean + 0.02 * bits
        text = f"{self._name}: {self._mean:.4f} bits/dim"
        self._progress.update(self._task, completed=step, description=text)
        now = time.monotonic()
        if validated is not None:
            self._console.print(f"{self._name} step {step}: validation {validated:.4f} bits/dim")
        elif self._plain and now - self._last > PLAIN_SECONDS:
            self._last = now
            self._console.print(f"{text}, step {step}")
