"""`ancestral import`: a published checkpoint into a model package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ancestral.cli.output import Json, Models, emit, people, say, settings
from ancestral.cli.places import require_room
from ancestral.progress import staged

if TYPE_CHECKING:
    from ancestral.store.options import Options

GRAPHS = (".pt2", ".ancestral")
_GRAPH = "A module's graph"


def import_(
    file: Annotated[
        Path,
        typer.Argument(help="Graph (.pt2, .ancestral), checkpoint, or a folder of one."),
    ],
    name: Annotated[str | None, typer.Option(help="Name of the new package.")] = None,
    version: Annotated[int, typer.Option(min=1)] = 1,
    shape: Annotated[
        str | None, typer.Option(help="Of an image 3x32x32 (channels, rows, columns).")
    ] = None,
    sample_rate: Annotated[int | None, typer.Option(help="Of a sound, in Hz.")] = None,
    trained_on: Annotated[str, typer.Option(help="Data of the training.")] = "unknown",
    licence: Annotated[str, typer.Option(help="Licence of the weights.")] = "unknown",
    dilations: Annotated[
        str | None, typer.Option(help="Such as 1,2,4,8; repeated to the number of layers.")
    ] = None,
    heads: Annotated[int | None, typer.Option(min=1, help="Of attention.")] = None,
    alphabet: Annotated[
        str | None, typer.Option(help="Of text: the characters in the order of their codes.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="image, audio, sequence or vector.", rich_help_panel=_GRAPH),
    ] = None,
    levels: Annotated[
        int | None, typer.Option(help="Codes are 0 … levels-1.", rich_help_panel=_GRAPH)
    ] = None,
    length: Annotated[
        int | None,
        typer.Option(help="The most sites of a sound or sequence.", rich_help_panel=_GRAPH),
    ] = None,
    likelihood: Annotated[
        str | None,
        typer.Option(
            help="dlm:10, categorical, bernoulli, mol:10, gaussian, mog:5 (components).",
            rich_help_panel=_GRAPH,
        ),
    ] = None,
    encode: Annotated[
        str | None,
        typer.Option(
            help="How the module reads codes: int, unit x/(L-1), signed 2x/(L-1)-1, one-hot, bits.",
            rich_help_panel=_GRAPH,
        ),
    ] = None,
    order: Annotated[
        str | None,
        typer.Option(
            help="raster, time, or a .json file of positions by rank.", rich_help_panel=_GRAPH
        ),
    ] = None,
    condition: Annotated[
        list[str] | None,
        typer.Option(
            help="INPUT=label:10 or INPUT=label:cat,dog, INPUT=series:80@hop256 or INPUT=plane:3; "
            "once for each.",
            rich_help_panel=_GRAPH,
        ),
    ] = None,
    input_layout: Annotated[
        str | None,
        typer.Option(help="Such as 'b c h w' or 'b (h w c)'.", rich_help_panel=_GRAPH),
    ] = None,
    params_layout: Annotated[
        str | None,
        typer.Option(help="Such as 'b (c p) h w'; p are the parameters.", rich_help_panel=_GRAPH),
    ] = None,
    predicts: Annotated[
        str,
        typer.Option(
            help="The position that the output is for: same or next.", rich_help_panel=_GRAPH
        ),
    ] = "same",
    start: Annotated[
        str | None,
        typer.Option(
            help="Before the first value, for next: a code, zeros or unscored.",
            rich_help_panel=_GRAPH,
        ),
    ] = None,
    models: Models = None,
    json: Json = False,
) -> None:
    """Convert a published checkpoint or a module's graph, prove it causal and publish a package.

    No object is ever unpickled: tensors and plain data are read, anything else is refused.
    """
    if not file.exists():
        raise ValueError(f"{file}: there is no such file")
    require_room(settings(models).models)
    if file.suffix in GRAPHS:
        from ancestral.store.options import Options

        options = Options(
            name, version, data, shape, levels, sample_rate, length, likelihood, encode, order,
            tuple(condition or ()), input_layout, params_layout, predicts, start, trained_on,
            licence,
        )  # fmt: skip
        _graph(file, options, settings(models).models, json)
        return
    told_dilations = _numbers("--dilations", dilations)
    told_shape = _numbers("--shape", shape.replace("x", ",") if shape else shape)
    from ancestral.store.importer import Told, import_checkpoint

    told = Told(
        name=_named(name),
        version=version,
        dilations=told_dilations,
        shape=told_shape,
        sample_rate=sample_rate,
        heads=heads,
        alphabet=alphabet,
        data=trained_on,
        licence=licence,
    )
    with staged(f"importing {file.name}", quiet=json):
        path = import_checkpoint(file, settings(models).models, told)
    _report(path, None, json)


def _graph(file: Path, options: Options, root: Path, json: bool) -> None:
    from ancestral.store.export import read_exported
    from ancestral.store.graphs import import_graph
    from ancestral.store.pt2 import read_pt2

    if file.suffix == ".ancestral":
        exported, written = read_exported(file)
        options = options.over(written)
    else:
        exported = read_pt2(file)
    _named(options.name)
    with staged(f"importing {file.name}", quiet=json):
        imported = import_graph(exported, file, root, options)
    _report(imported.path, imported.warning, json)


def _named(name: str | None) -> str:
    if name is None:
        raise ValueError("--name: give the new package a name")
    return name


def _report(path: Path, warning: str | None, json: bool) -> None:
    if warning is not None:
        people().print("[bold yellow]warning:[/] ", end="")
        people().print(warning, markup=False, highlight=False, soft_wrap=True)
    if json:
        found = {"model": f"{path.parent.name}/{path.name}", "path": str(path)}
        emit(found if warning is None else found | {"warning": warning})
    else:
        how = "proved causal" if warning is None else "causal as far as was tried"
        say(f"{path}: imported and {how}")


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
