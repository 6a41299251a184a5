"""`ancestral embed`: representations of files by a layer's hidden state."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.markup import escape

from ancestral.cli.output import (
    FAILED,
    Conditions,
    Json,
    ModelName,
    Models,
    condition,
    emit,
    people,
    say,
    settings,
    values,
)
from ancestral.cli.places import require_writable
from ancestral.cli.refusal import with_flags
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
        Path | None,
        typer.Option(
            "--output", "-o", help="NPY file, float32, files × width; NaN where one failed."
        ),
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
    found = []
    with bar("files", quiet=json) as display:
        task = display.add_task(f"representing by {loaded.name}", total=len(paths))
        for each in embed_files(loaded, paths, given, layer=layer, fit=fit):
            found.append(each)
            display.advance(task)
    errors = {str(each.file): with_flags(each.error) for each in found if each.vector is None}
    vectors = [each.vector for each in found if each.vector is not None]
    if output is not None and vectors:
        none = np.full_like(vectors[0], np.nan)
        rows = [none if each.vector is None else each.vector for each in found]
        output.write_bytes(encode_npy(np.stack(rows)))
    if json:
        emit(
            {
                "model": loaded.label,
                "layer": loaded.layer(layer),
                "files": paths,
                "embeddings": [each.vector for each in found],
                "errors": errors,
            }
        )
    else:
        for file, error in errors.items():
            people().print(f"{escape(file)}: [red]{escape(error)}[/]", soft_wrap=True)
        if vectors:
            failed = f"; {len(errors)} failed, NaN in their rows" if errors else ""
            say(f"{output}: {len(vectors)} items of {len(vectors[0])} numbers{failed}")
    if errors:
        raise typer.Exit(FAILED)
