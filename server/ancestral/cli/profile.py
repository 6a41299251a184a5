"""`ancestral bench profile`: where the time of a step goes."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ancestral.cli.output import Json, Models, WeightsOption, emit, say, settings
from ancestral.progress import bar
from ancestral.settings import Settings


def profile(
    name: Annotated[str, typer.Argument(metavar="MODEL", help="A package, or a network's name.")],
    batch: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Size; repeatable.", show_default="1, 4, 16, 64"),
    ] = None,
    sites: Annotated[int, typer.Option(min=16, help="Of each item.")] = 160,
    weights: WeightsOption = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print tables as the documentation has them.")
    ] = False,
    models: Models = None,
    json: Json = False,
) -> None:
    """Where the time of a step goes on the native runtime, operation by operation."""
    from ancestral.bench import NETWORKS
    from ancestral.bench import network as random_network
    from ancestral.bench.measure import BATCHES
    from ancestral.bench.profile import profile as profiled
    from ancestral.bench.profile import profile_markdown, profile_table
    from ancestral.engine.model import load as load_model

    precision: Any = Settings.from_env(weights=weights).weights
    loaded = (
        random_network(name, precision or "float32")
        if name in NETWORKS
        else load_model(name, settings(models).models, weights=precision)
    )
    found, sizes = [], batch or list(BATCHES)
    with bar("batches", quiet=json or markdown) as display:
        task = display.add_task(f"timing {name}", total=len(sizes))
        for size in sizes:
            found.append(profiled(loaded, size, sites))
            display.advance(task)
    if json:
        emit([each.to_json() for each in found])
        return
    for each in found:
        if markdown:
            typer.echo(profile_markdown(each))
        else:
            say(profile_table(each))
