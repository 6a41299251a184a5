"""`ancestral models`: what is in a store, and compiling it ahead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer
from rich.markup import escape
from rich.table import Column, Table

from ancestral.cli.output import (
    FAILED,
    Json,
    ModelName,
    ModelNames,
    Models,
    RuntimeOption,
    emit,
    people,
    say,
    settings,
)
from ancestral.progress import bar, staged

if TYPE_CHECKING:
    from ancestral.settings import Settings
    from ancestral.store import Entry, Manifest, PackageError

_TOLD = ("data", "takes", "figure", "family")  # `show` has the rest

app = typer.Typer(help="List, show and compile model packages.", no_args_is_help=True)


@app.command("list")
def list_(models: Models = None, json: Json = False) -> None:
    """List the packages and their default versions.

    A broken one does not hide the others: it is told of, and the status is 1.
    """
    from ancestral.store import PackageError, find, list_packages, read_manifest

    root = settings(models).models
    found: list[tuple[Entry, Manifest | PackageError]] = []
    for entry in list_packages(root):
        try:
            found.append((entry, read_manifest(find(entry.name, root))))
        except PackageError as error:
            found.append((entry, error))
    broken = any(isinstance(told, PackageError) for _, told in found)
    if json:
        emit(
            [
                {"name": entry.name, "versions": entry.versions, "error": str(told)}
                if isinstance(told, PackageError)
                else {"versions": entry.versions, **_summary(told)}
                for entry, told in found
            ]
        )
    else:
        say(_table(found))
    if broken:
        raise typer.Exit(FAILED)


def _table(found: list[tuple[Entry, Manifest | PackageError]]) -> Table:
    name = Column("model", no_wrap=True, overflow="fold")  # whole, for it is what one types
    table = Table(name, *(Column(part, overflow="fold") for part in _TOLD))
    for entry, manifest in found:
        if isinstance(manifest, ValueError):
            table.add_row(f"{entry.name}/{entry.default}", f"[red]{escape(str(manifest))}[/]")
            continue
        table.add_row(
            manifest.label,
            manifest.data.words,
            ", ".join(condition.name for condition in manifest.conditions),
            next((f"{v:.4g} {k}" for k, v in manifest.provenance.metrics.items()), ""),
            manifest.family,
        )
    return table


@app.command()
def show(
    model: ModelName,
    models: Models = None,
    runtime: RuntimeOption = None,
    json: Json = False,
) -> None:
    """Show a package's manifest, all but its reference scores, and what it costs in memory."""
    from ancestral.store import find, read_manifest

    found = settings(models)
    path = find(model, found.models)
    manifest = read_manifest(path)
    with staged(f"loading {model}", quiet=json):
        memory = _memory(model, found, runtime)
    document = _summary(manifest) | {"path": str(path), "memory": memory}
    if json:
        emit(document)
        return
    table = Table("", Column(overflow="fold"), show_header=False)
    for name, value in document.items():
        table.add_row(name, escape(_told(value)))
    say(table)


def _told(value: Any, *, inner: bool = False) -> str:
    """A value of a manifest as people read it: its parts on lines, parts of parts behind a name."""
    if isinstance(value, dict):
        parts = [f"{name}: {_told(part, inner=True)}" for name, part in value.items()]
        return f"({', '.join(parts)})" if inner else "\n".join(parts)
    if isinstance(value, list | tuple):
        nested = any(isinstance(part, dict) for part in value)
        return ("\n" if nested and not inner else ", ").join(_told(p, inner=True) for p in value)
    return str(value)


@app.command()
def prepare(
    names: ModelNames = None,
    models: Models = None,
    runtime: RuntimeOption = None,
    json: Json = False,
) -> None:
    """Compile packages as a worker does at its start, into ANCESTRAL_CACHE, for workers to find.

    For images and shared volumes. Status 1 where a package cannot be served.
    """
    from ancestral.compile import CompileError
    from ancestral.store import list_packages

    found = settings(models)
    wanted = names or [entry.name for entry in list_packages(found.models)]
    errors: dict[str, str] = {}
    with bar("packages", quiet=json) as display:
        task = display.add_task("", total=len(wanted))
        for name in wanted:
            display.update(task, description=f"compiling {name}")
            try:
                _memory(name, found, runtime)
            except (ValueError, CompileError) as error:
                errors[name] = str(error)
            display.advance(task)
    if json:
        emit({"cache": found.cache, "prepared": len(wanted) - len(errors), "errors": errors})
    else:
        for name, why in errors.items():
            people().print(f"{name}: {why}", style="red", markup=False)
        say(f"{len(wanted) - len(errors)} of {len(wanted)} packages are compiled in {found.cache}")
    if errors:
        raise typer.Exit(FAILED)


def _memory(name: str, settings: Settings, runtime: str | None) -> dict[str, Any]:
    """Bytes of a model in service under these settings; it is compiled for that."""
    from ancestral.engine.footprint import footprint
    from ancestral.engine.model import load
    from ancestral.engine.process import limits

    loaded = load(name, settings.models, runtime=runtime or settings.runtime)
    loaded.prepare()
    found = footprint(loaded, limits(settings))
    return {
        "runtime": loaded.runtime,
        "sites": loaded.default_sites,
        "weight_bytes": found.weights,
        "bytes_per_slot": found.slot,
        "slots": found.slots,
        "cache_bytes": found.caches,
        "total_bytes": found.total,
    }


def _summary(manifest: Manifest) -> dict[str, Any]:
    document = manifest.model_dump(mode="json", exclude_none=True, exclude={"reference"})
    if manifest.reference is not None:
        document["reference"] = {
            "unit": manifest.reference.unit,
            "n": len(manifest.reference.scores),
        }
    return document
