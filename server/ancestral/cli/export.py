"""`ancestral export`: a package's graphs for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from ancestral.cli.output import FAILED, Json, Models, emit, say, settings
from ancestral.cli.places import require_room
from ancestral.progress import staged


def export(
    model: Annotated[str, typer.Argument(help="NAME or NAME/VERSION.")],
    onnx: Annotated[Path, typer.Option(metavar="DIR", help="Where the .onnx files go.")],
    models: Models = None,
    json: Json = False,
) -> None:
    """Write the forward pass and the sampler's step as ONNX graphs, checked against our own.

    An ensemble has a folder for each order. Status 1 where a graph differs; what cannot be written
    is named.
    """
    require_room(onnx)
    from ancestral.engine.model import load
    from ancestral.runtimes.onnx.export import Written, export

    loaded = load(model, settings(models).models)
    found: list[tuple[str, Written]] = []
    names = list(loaded.manifest.orders) or [""]
    for name, member in zip(names, loaded.members or (loaded,), strict=True):
        with staged(f"exporting {model} {name}".rstrip(), quiet=json):
            program = member.program
            if program is None:
                raise ValueError(f"{model} has no step program: {member.fallback_reason}")
            written = export(program, member.network, member.conditions, onnx / name)
        found += [(f"{name}/{w.name}".lstrip("/"), w) for w in written]
    if json:
        emit([{"graph": n, "error": w.error, "ok": w.ok, "reason": w.reason} for n, w in found])
    else:
        table = Table("graph", "", "difference", "", title=f"{model} in {onnx}")
        for name, w in found:
            verdict = (
                "[yellow]left out[/]" if w.reason else "ok" if w.ok else "[bold red]differs[/]"
            )
            table.add_row(name, verdict, "" if w.error is None else f"{w.error:.2g}", w.reason)
        say(table)
    if not all(w.ok for _, w in found):
        raise typer.Exit(FAILED)
