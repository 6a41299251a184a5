"""`ancestral verify`: the sampler's invariants over packages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ancestral.cli.output import (
    FAILED,
    Json,
    ModelNames,
    Models,
    RuntimeOption,
    WeightsOption,
    emit,
    say,
    settings,
)
from ancestral.progress import bar

if TYPE_CHECKING:
    from ancestral.engine.verify import Report


def verify(
    names: ModelNames = None,
    naive: Annotated[bool, typer.Option(help="Check the naive sampler instead.")] = False,
    runtime: RuntimeOption = None,
    weights: WeightsOption = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of reference items, to measure what rounded weights cost on."),
    ] = None,
    sites: Annotated[int | None, typer.Option(min=1, help="Length of open-ended items.")] = None,
    models: Models = None,
    json: Json = False,
) -> None:
    """Check step parity, arithmetic, one likelihood, neighbour independence and seeds.

    Says whether the sampler is derived or falls back to the naive loop, and what rounded weights
    cost in bits/dim. Status 1 where one fails.
    """
    from ancestral.engine import verify as checks
    from ancestral.engine.model import load
    from ancestral.store import list_packages
    from ancestral.train.calibration import reference_items

    root = settings(models).models
    wanted = names or [entry.name for entry in list_packages(root)]
    reports = []
    with bar("packages", quiet=json) as display:
        task = display.add_task("", total=len(wanted))
        for name in wanted:
            display.update(task, description=f"verifying {name}")
            loaded = load(name, root, runtime=runtime, weights=weights)
            items = None if data is None else reference_items(loaded.manifest, data)
            kind = "naive" if naive else loaded.kind
            reports.append(checks.verify(loaded, kind, sites, items))
            display.advance(task)
            if not json:
                say(_table(reports[-1]))
    if json:
        emit([report.to_json() for report in reports])
    if not all(report.ok for report in reports):
        raise typer.Exit(FAILED)


def _table(report: Report) -> Table:
    kind = "derived" if report.derived else "fallback"
    table = Table(
        "check",
        "",
        "value",
        "limit",
        "",
        title=f"{report.model}: {report.runtime} ({kind}), {report.sites} sites",
    )
    for check in report.checks:
        table.add_row(
            check.name,
            "[green]ok[/]" if check.ok else "[bold red]fails[/]",
            "" if check.value is None else f"{check.value:.3g}",
            "" if check.limit is None else f"{check.limit:.3g}",
            escape(check.detail),
        )
    return table
