"""`ancestral embed`: representations of files by a layer's hidden state."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
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
from ancestral.cli.places import require_writable
from ancestral.progress import bar


def embed(
    model: ModelName,
    files: Annotated[
        list[Path], typer.Argument(help="PNG, JPEG, WAV, NPY or JSON files, or folders of them.")
    ],
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Also the folders in a folder.")
    ] = False,
    layer: Annotated[
        int | None,
        typer.Option(min=1, help="Hidden state after that many layers.", show_default="half"),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="NPY file, float32, files × width.")
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
    if output is not None:
        require_writable(output)
    from ancestral.engine.files import embed_files
    from ancestral.engine.model import load
    from ancestral.media import encode_npy, listed

    paths = listed(files, recursive=recursive)
    loaded = load(model, settings(models).models)
    given, _ = values(given, loaded.manifest, fit=fit)
    parts = []
    with bar("files", quiet=json) as display:
        task = display.add_task(f"representing by {loaded.name}", total=len(paths))
        for part in embed_files(loaded, paths, given, layer=layer, fit=fit):
            parts.append(part)
            display.advance(task, len(part))
    found = np.concatenate(parts)
    if output is not None:
        output.write_bytes(encode_npy(found))
    if json:
        emit(
            {
                "model": loaded.label,
                "layer": loaded.layer(layer),
                "files": paths,
                "embeddings": found,
            }
        )
    else:
        say(f"{output}: {len(found)} items of {found.shape[1]} numbers")
