"""`ancestral embed`: representations of files by a layer's hidden state."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ancestral.cli.output import (
    Conditions,
    Json,
    ModelName,
    Models,
    condition,
    emit,
    say,
    settings,
    values,
)
from ancestral.progress import bar


def embed(
    model: ModelName,
    files: Annotated[list[Path], typer.Argument(help="PNG, JPEG, WAV, NPY or JSON files.")],
    layer: Annotated[
        int | None, typer.Option(min=1, help="Hidden state after that many layers [default: half].")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="NPY file, float32 [files, width].")
    ] = None,
    conditions: Conditions = None,
    fit: Annotated[bool, typer.Option(help="Resize, resample or round what does not fit.")] = False,
    models: Models = None,
    json: Json = False,
) -> None:
    """Represent files by the mean hidden state of a layer, as a linear probe reads it."""
    given = condition(conditions)
    if output is None and not json:
        raise ValueError("--output FILE.npy or --json is needed: vectors are not for reading")
    from ancestral.engine.model import load
    from ancestral.media import decode, encode_npy

    loaded = load(model, settings(models).models)
    given = values(given, loaded.manifest)
    codec = loaded.manifest.data.media_codec
    items = []
    with bar("files", quiet=json) as display:
        for file in display.track(files, description=f"reading for {loaded.name}"):
            items.append(decode(file.read_bytes(), None, loaded.data, codec, fit=fit)[0])
    found = loaded.embed(items, given, layer=layer)
    if output is not None:
        output.write_bytes(encode_npy(found))
    if json:
        name = f"{loaded.name}/{loaded.version}"
        emit({"model": name, "layer": loaded.layer(layer), "embeddings": found.tolist()})
    else:
        say(f"{output}: {len(found)} items of {found.shape[1]} numbers")
