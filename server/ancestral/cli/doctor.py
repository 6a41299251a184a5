"""`ancestral doctor`: what is wrong, and how to mend it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ancestral.cli.output import FAILED, Json, Models, emit, people, say

MARKS = {"ok": "[green]✓[/]", "note": "[yellow]![/]", "wrong": "[bold red]✗[/]"}


def doctor(
    models: Models = None,
    broker: Annotated[
        str | None, typer.Option(metavar="URL", help="In place of the settings' broker.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="TOML file of settings.")
    ] = None,
    json: Json = False,
) -> None:
    """Look at versions, settings, device, runtimes, store, cache, broker and port.

    Says how to mend what is wrong; the exit status is then 1. What is worth a note is no fault.
    """
    from ancestral.doctor import examine

    findings = []
    with people().status("looking around"):
        findings = list(examine(config, models, broker))
    wrong = [finding for finding in findings if finding.state == "wrong"]
    if json:
        emit({"ok": not wrong, "findings": [asdict(finding) for finding in findings]})
    else:
        table = Table("", "area", "what", "found", "to mend it")
        for each in findings:
            text = (escape(part) for part in (each.area, each.name, each.detail, each.mend))
            table.add_row(MARKS[each.state], *text)
        say(table)
        say(f"{len(wrong)} of {len(findings)} things are wrong" if wrong else "nothing is wrong")
    if wrong:
        raise typer.Exit(FAILED)
