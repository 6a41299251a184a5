"""`ancestral import`: a published checkpoint into a model package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ancestral.cli.output import Json, Models, emit, people, say, settings


def import_(
    file: Annotated[Path, typer.Argument(help="Checkpoint, or Hugging Face folder.")],
    name: Annotated[str, typer.Option(help="Name of the new package.")],
    version: Annotated[int, typer.Option(min=1)] = 1,
    dilations: Annotated[
        str | None, typer.Option(help="Such as 1,2,4,8; repeated to the number of layers.")
    ] = None,
    shape: Annotated[str | None, typer.Option(help="Of an image: channels,height,width.")] = None,
    sample_rate: Annotated[int | None, typer.Option(help="Of a sound, in Hz.")] = None,
    heads: Annotated[int | None, typer.Option(min=1, help="Of attention.")] = None,
    data: Annotated[str, typer.Option(help="What the weights were trained on.")] = "unknown",
    licence: Annotated[str, typer.Option(help="Licence of the weights.")] = "unknown",
    models: Models = None,
    json: Json = False,
) -> None:
    """Convert a published checkpoint, prove it causal and publish it as a package.

    No object is ever unpickled: tensors and plain containers are read, anything else is refused.
    """
    told_dilations, told_shape = _numbers("--dilations", dilations), _numbers("--shape", shape)
    from ancestral.store.importer import Told, import_checkpoint

    told = Told(
        name=name,
        version=version,
        dilations=told_dilations,
        shape=told_shape,
        sample_rate=sample_rate,
        heads=heads,
        data=data,
        licence=licence,
    )
    with people().status(f"importing {file.name}"):
        path = import_checkpoint(file, settings(models).models, told)
    if json:
        emit({"model": f"{name}/{version}", "path": str(path)})
    else:
        say(f"{path}: imported and proved causal")


def _numbers(flag: str, text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError as error:
        raise ValueError(f"{flag} {text}: whole numbers with commas are expected") from error
    if min(numbers) < 1:
        raise ValueError(f"{flag} {text}: numbers must be at least 1")
    return numbers
