"""`ancestral score`: log-likelihoods of files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from ancestral.cli.output import (
    FAILED,
    Conditions,
    Json,
    Models,
    WeightsOption,
    condition,
    emit,
    progress,
    say,
    settings,
    values,
)

if TYPE_CHECKING:
    from ancestral.engine.model import Model
    from ancestral.engine.scoring import Score


def score(
    model: Annotated[str, typer.Argument(help="NAME or NAME/VERSION.")],
    files: Annotated[
        list[Path], typer.Argument(help="PNG, JPEG, WAV, MIDI, TXT, NPY or JSON files.")
    ],
    conditions: Conditions = None,
    marginal: Annotated[bool, typer.Option(help="Sum over labels that are not given.")] = False,
    fit: Annotated[bool, typer.Option(help="Resize, resample or round what does not fit.")] = False,
    order: Annotated[
        str | None, typer.Option(help="Of an ensemble: score under this order alone.")
    ] = None,
    map_: Annotated[
        Path | None, typer.Option("--map", help="Folder for heat maps of surprise, FILE.png.")
    ] = None,
    weights: WeightsOption = None,
    models: Models = None,
    json: Json = False,
) -> None:
    """Score files: nats, bits per dimension and the percentile among held-out items.

    A file that cannot be scored fails alone; the exit status is then 1.
    """
    given = condition(conditions)
    from ancestral.engine.model import load

    loaded = load(model, settings(models).models, weights=weights).under(order)
    given = values(given, loaded.manifest)
    results = []
    with progress(json) as bar:
        for file in bar.track(files, description=f"scoring with {loaded.name}"):
            results.append(_one(loaded, file, given, marginal, fit, map_))
    if json:
        emit({"model": f"{loaded.name}/{loaded.version}", "results": results})
    else:
        say(_table(results))
    if any("error" in result for result in results):
        raise typer.Exit(FAILED)


def _one(
    model: Model,
    file: Path,
    given: dict[str, Any] | None,
    marginal: bool,
    fit: bool,
    maps: Path | None,
) -> dict[str, Any]:
    from ancestral.media import MediaError, declared, decode

    try:
        body = file.read_bytes()
        codec = model.manifest.data.media_codec
        item, steps = decode(body, declared(file), model.data, codec, fit=fit)
    except (MediaError, OSError) as error:
        return {"file": str(file), "error": str(error)}
    found = model.log_prob([item], given, marginal)[0]
    result = {
        "file": str(file),
        "log_prob": found.log_prob,
        "bits_per_dim": found.bits_per_dim,
        "dimensions": found.dimensions,
        "percentile": found.percentile,
        "reference_n": found.reference_n,
        "marginal": found.marginalised,
        "fit": steps,
    }
    if maps is not None:
        maps.mkdir(parents=True, exist_ok=True)
        picture = maps / f"{file.stem}.png"
        picture.write_bytes(_heat_map(model, found))
        result["map"] = str(picture)
    return result


def _heat_map(model: Model, found: Score) -> bytes:
    from ancestral.media import heat_map_png

    if model.data.kind == "image":
        channels, height, width = model.data.shape
        return heat_map_png(found.per_dim.T.reshape(channels, height, width))
    return heat_map_png(found.per_dim[:, 0])


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
