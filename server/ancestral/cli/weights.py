"""`ancestral bench weights`: what rounded weights cost."""

from __future__ import annotations

from typing import Annotated

import typer

from ancestral.cli.output import Json, ModelNames, Models, emit, say, settings
from ancestral.progress import bar


def weights(
    names: ModelNames = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the table as the documentation has it.")
    ] = False,
    models: Models = None,
    json: Json = False,
) -> None:
    """What bf16 and int8 weights cost in bits/dim, on items that each model draws."""
    from ancestral.bench.weights import costs, costs_markdown, costs_table
    from ancestral.store import list_packages

    root = settings(models).models
    wanted = list(names or [entry.name for entry in list_packages(root)])
    found = []
    with bar("packages", quiet=json or markdown) as display:
        task = display.add_task("", total=2 * len(wanted))
        for cost in costs(wanted, root):
            found.append(cost)
            display.update(task, description=cost.model, advance=1)
    if json:
        emit([cost.to_json() for cost in found])
    elif markdown:
        typer.echo(costs_markdown(found))
    else:
        say(costs_table(found))
