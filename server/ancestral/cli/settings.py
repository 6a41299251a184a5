"""`ancestral settings`: what a process would be told, and the table of the documentation."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Annotated

import typer
from pydantic import ByteSize
from rich.table import Table

from ancestral.cli.flags import info_of, with_settings
from ancestral.cli.output import Json, emit, say
from ancestral.settings import CACHE, GUIDE, SHIPPED, Settings, variable

_PLACES = {
    SHIPPED: "the shipped packages",
    GUIDE: "`site/` of the clone",
    CACHE: "`~/.cache/ancestral`",
}


@with_settings()
def settings(
    settings: Settings,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="The table of docs/operations.md instead.")
    ] = False,
    json: Json = False,
) -> None:
    """Show every setting as the environment, the file and the flags make it."""
    if markdown:
        typer.echo(table())
        return
    if json:
        emit(asdict(settings))
        return
    shown = Table("variable", "value", "")
    for field in fields(Settings):
        value, info = getattr(settings, field.name), info_of(field.name)
        shown.add_row(variable(field.name), _plain(value), info.description)
    say(shown)


def table() -> str:
    """Every setting, its default and its meaning, in Markdown."""
    lines = ["| name | default | |", "|---|---|---|"]
    for field in fields(Settings):
        info = info_of(field.name)
        default = _PLACES.get(info.default) or _plain(info.default)
        lines.append(f"| `{field.name.upper()}` | {default} | {info.description} |")
    return "\n".join(lines)


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, ByteSize):
        return value.human_readable(separator=" ").replace(".0 ", " ")
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value is None else str(value)
