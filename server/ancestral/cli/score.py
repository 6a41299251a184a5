"""`ancestral score`: log-likelihoods of files."""

from __future__ import annotations

import csv
import os
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table

from ancestral.cli.output import (
    FAILED,
    Conditions,
    Json,
    ModelName,
    Models,
    WeightsOption,
    condition,
    emit,
    people,
    say,
    settings,
    values,
)
from ancestral.cli.places import require_room, require_writable
from ancestral.cli.refusal import with_flags
from ancestral.progress import bar

if TYPE_CHECKING:
    from ancestral.engine.files import FileScore
    from ancestral.engine.model import Model

COLUMNS = (
    "file", "log_prob", "bits_per_dim", "dimensions", "percentile", "reference_n", "marginal",
    "fit", "map", "error",
)  # fmt: skip


def score(
    model: ModelName,
    files: Annotated[
        list[Path],
        typer.Argument(help="PNG, JPEG, WAV, MIDI, TXT, NPY or JSON files, or folders of them."),
    ],
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Also the folders in a folder.")
    ] = False,
    csv_: Annotated[
        Path | None,
        typer.Option("--csv", help="File with a line for each file, written as they are scored."),
    ] = None,
    conditions: Conditions = None,
    marginal: Annotated[bool, typer.Option(help="Sum over labels that are not given.")] = False,
    fit: Annotated[bool, typer.Option(help="Resize, resample or round what does not fit.")] = False,
    order: Annotated[
        str | None, typer.Option(help="Of an ensemble: score under this order alone.")
    ] = None,
    map_: Annotated[
        Path | None,
        typer.Option("--map", help="Folder for heat maps of surprise; subfolders as the files'."),
    ] = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="Show the files and their surprise in the terminal.")
    ] = False,
    weights: WeightsOption = None,
    models: Models = None,
    json: Json = False,
) -> None:
    """Score files: nats, bits per dimension and the percentile among held-out items.

    A file that cannot be scored fails alone; the exit status is then 1.
    """
    given = condition(conditions)
    if csv_ is not None:
        require_writable(csv_)
    if map_ is not None:
        require_room(map_)
    from ancestral.engine.files import score_files
    from ancestral.engine.model import load
    from ancestral.media import listed

    paths = listed(files, recursive=recursive)
    loaded = load(model, settings(models).models, weights=weights).under(order)
    given, steps = values(given, loaded.manifest, fit=fit)
    results, pictures = [], []
    with bar("files", quiet=json) as display, _table_file(csv_) as write:
        task = display.add_task(f"scoring with {loaded.name}", total=len(paths))
        for found in score_files(loaded, paths, given, marginal=marginal, fit=fit):
            result = _result(found, steps)
            if map_ is not None and found.score is not None:
                result["map"] = _write_map(loaded, found, map_, _base(files))
            if preview:
                pictures.append(_picture(loaded, found))
            write(result)
            results.append(result)
            display.advance(task)
    if preview:
        (people() if json else Console()).print(*pictures, sep="\n")
    if json:
        emit({"model": loaded.label, "results": results})
    elif csv_ is None:
        say(_table(results))
    else:
        say(_summary(results, csv_))
    if any("error" in result for result in results):
        raise typer.Exit(FAILED)


def _result(found: FileScore, steps: list[str]) -> dict[str, Any]:
    score = found.score
    if score is None:
        return {"file": str(found.file), "error": with_flags(found.error)}
    return {
        "file": str(found.file),
        "log_prob": score.log_prob,
        "bits_per_dim": score.bits_per_dim,
        "dimensions": score.dimensions,
        "percentile": score.percentile,
        "reference_n": score.reference_n,
        "marginal": score.marginalised,
        "fit": steps + found.fit,
    }


def _base(files: Sequence[Path]) -> Path:
    """The folder below which the files lie."""
    folders = [path if path.is_dir() else path.parent for path in files]
    return Path(os.path.commonpath([folder.absolute() for folder in folders]))


def _write_map(model: Model, found: FileScore, maps: Path, base: Path) -> str:
    """The file's surprise as a picture, where the file lies among the others."""
    from ancestral.media import heat_map_png

    assert found.score is not None
    name = found.file.absolute().relative_to(base)
    picture = maps / name.with_suffix(".png")
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.write_bytes(heat_map_png(found.score.map))
    return str(picture)


def _picture(model: Model, found: FileScore) -> RenderableType:
    from ancestral.cli.preview import surprise

    if found.score is None or found.item is None:
        return f"{escape(str(found.file))}: [red]{escape(with_flags(found.error))}[/]"
    log_prob = found.score.map
    codec = model.manifest.data.media_codec
    return Group(escape(str(found.file)), surprise(found.item, log_prob, codec, Console()))


@contextmanager
def _table_file(file: Path | None) -> Iterator[Callable[[dict[str, Any]], None]]:
    """What writes a result to a CSV file at once, so that a run broken off leaves its results."""
    if file is None:
        yield lambda result: None
        return
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.DictWriter(opened, COLUMNS)
        writer.writeheader()

        def write(result: dict[str, Any]) -> None:
            writer.writerow(result | {"fit": "; ".join(result.get("fit", ()))})
            opened.flush()

        yield write


def _summary(results: list[dict[str, Any]], file: Path) -> str:
    scored = [result["bits_per_dim"] for result in results if "error" not in result]
    failed = len(results) - len(scored)
    mean = f", {statistics.fmean(scored):.4f} bits/dim in the mean" if scored else ""
    return f"{file}: {len(scored)} scored, {failed} failed{mean}"


def _table(results: list[dict[str, Any]]) -> Table:
    table = Table("file", "log p, nats", "bits/dim", "percentile", "remarks")
    for result in results:
        if "error" in result:
            table.add_row(escape(result["file"]), "", "", "", f"[red]{escape(result['error'])}[/]")
            continue
        share = result["percentile"]
        table.add_row(
            escape(result["file"]),
            f"{result['log_prob']:.3f}",
            f"{result['bits_per_dim']:.4f}",
            "" if share is None else f"{share:.1f} of {result['reference_n']}",
            "; ".join(result["fit"] + ["summed over labels"] * result["marginal"]),
        )
    return table
