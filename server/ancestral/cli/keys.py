"""`ancestral keys`: who may use a server."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from ancestral.access import create, read_keys, revoke
from ancestral.cli.output import Json, emit, people, say
from ancestral.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Make, list and revoke API keys.")
File = Annotated[
    Path | None,
    typer.Option("--keys", metavar="FILE", help="File of keys.", show_default="ANCESTRAL_KEYS"),
]
Limit = Annotated[
    int | None, typer.Option(min=0, help="0: none.", show_default="as the server's settings say")
]


@app.command("create")
def create_(
    name: Annotated[str, typer.Argument(help="Whose it is.")],
    keys: File = None,
    admin: Annotated[
        bool, typer.Option("--admin", help="It may load and unload models, and see every job.")
    ] = False,
    requests_per_minute: Limit = None,
    sites_per_minute: Limit = None,
    json: Json = False,
) -> None:
    """Make a key. It is printed once; the file keeps a hash of it."""
    path = _file(keys)
    key, text = create(
        path,
        name,
        admin=admin,
        requests_per_minute=requests_per_minute,
        sites_per_minute=sites_per_minute,
    )
    if json:
        emit(key.model_dump(exclude={"sha256"}) | {"key": text})
        return
    people().print(f"{'admin ' if admin else ''}key {key.id} of {name}, in {path}", markup=False)
    typer.echo(text)


@app.command("list")
def list_(keys: File = None, json: Json = False) -> None:
    """Show the keys of the file, without their secrets."""
    found = read_keys(_file(keys))
    if json:
        emit([key.model_dump(exclude={"sha256"}) for key in found])
        return
    table = Table("id", "name", "admin", "created", "requests/min", "sites/min")
    for key in found:
        made = datetime.datetime.fromtimestamp(key.created, datetime.UTC)
        limits = [_limit(limit) for limit in (key.requests_per_minute, key.sites_per_minute)]
        table.add_row(key.id, key.name, "yes" if key.admin else "", f"{made:%Y-%m-%d}", *limits)
    say(table)


@app.command("revoke")
def revoke_(
    which: Annotated[str, typer.Argument(metavar="NAME|ID", help="As `list` shows it.")],
    keys: File = None,
    json: Json = False,
) -> None:
    """Remove a key: running servers refuse it from then on."""
    key = revoke(_file(keys), which)
    if json:
        emit(key.model_dump(exclude={"sha256"}))
        return
    people().print(f"key {key.id} of {key.name} is revoked", markup=False)


def _file(keys: Path | None) -> Path:
    found = Settings.from_env(keys=keys).keys
    if found is None:
        raise ValueError("--keys, or ANCESTRAL_KEYS, must name the file of keys")
    return found


def _limit(limit: int | None) -> str:
    return "" if limit is None else "none" if limit == 0 else str(limit)
