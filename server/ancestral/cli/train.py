"""`ancestral train` and `calibrate`: packages from data, and their reference scores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ancestral.cli.output import Json, ModelName, Models, emit, say, settings
from ancestral.cli.places import require_room


def train(
    recipe: Annotated[Path, typer.Argument(help="Recipe, a TOML file.")],
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of your own PNGs or WAVs.", show_default="the set the recipe names"
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder of packages.", show_default="that of --models"),
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on with a run that was broken off.")] = True,
    models: Models = None,
    json: Json = False,
) -> None:
    """Train a recipe's package and publish it with its reference scores."""
    root = output or settings(models).models
    require_room(root)
    from ancestral.train import train as follow

    path = follow(recipe, data=data, output=root, resume=resume, progress=not json)
    if json:
        emit({"path": str(path)})
    else:
        say(f"{path}: trained and published")


def calibrate(
    model: ModelName,
    data: Annotated[Path, typer.Option(help="Folder of held-out normal PNGs or WAVs.")],
    models: Models = None,
    json: Json = False,
) -> None:
    """Store the scores of held-out items in a package: what percentiles are measured against."""
    from ancestral.store import find
    from ancestral.train import calibrate as measure

    path = find(model, settings(models).models)
    reference = measure(path, data, progress=not json)
    if json:
        emit({"path": str(path), "unit": reference.unit, "n": len(reference.scores)})
    else:
        say(f"{path}: {len(reference.scores)} reference scores, {reference.unit}")
