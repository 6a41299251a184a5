"""Pages that follow from the code: HTTP from OpenAPI, the command line from typer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import typer.main
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from ancestral.api.app import PAGE, create_app
from ancestral.cli.main import app
from ancestral.settings import Settings

VERBS = ("get", "post", "put", "delete")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages; called by mkdocs once the folder has been read."""
    with TemporaryDirectory() as empty:  # what a server answers needs no packages
        document = create_app(Settings(models=Path(empty))).openapi()
    for place, lines in (("http", http(document)), ("cli", command_line())):
        text = "\n".join(lines)
        files.append(File.generated(config, f"reference/{place}.md", content=text))
    files.append(File.generated(config, "icon.svg", abs_src_path=str(PAGE / "icon.svg")))
    return files


def on_post_build(config: MkDocsConfig) -> None:
    """No page of its own for addresses that are none: the server answers those itself."""
    (Path(config.site_dir) / "404.html").unlink(missing_ok=True)


def http(document: dict[str, Any]) -> Iterator[str]:
    """Each route with its parameters, its body's fields and its answers, from OpenAPI 3.1."""
    schemas = document["components"]["schemas"]
    yield "# HTTP\n"
    yield "Made from `/openapi.json`, which every server has for itself (`/docs` shows it)."
    yield "What it cannot say is in [the protocol](../protocol.md).\n"
    for path, verbs in document["paths"].items():
        for verb in VERBS:
            if verb in verbs:
                yield from _route(f"{verb.upper()} {path}", verbs[verb], schemas)
    yield "## Objects\n"
    for name in sorted(schemas):
        yield from _object(name, schemas[name])


def _route(title: str, route: dict[str, Any], schemas: dict[str, Any]) -> Iterator[str]:
    yield f"## `{title}`\n"
    yield route.get("description", route.get("summary", "")) + "\n"
    if parameters := route.get("parameters"):
        yield "| parameter | in | type | |\n|---|---|---|---|"
        for each in parameters:
            kind = _kind(each.get("schema", {}))
            yield f"| `{each['name']}` | {each['in']} | {kind} | {_line(each)} |"
        yield ""
    for media, body in route.get("requestBody", {}).get("content", {}).items():
        yield f"Body, `{media}`: {_kind(body.get('schema', {}))}\n"
    yield "| status | |\n|---|---|"
    for status, answer in route["responses"].items():
        kinds = {_kind(body.get("schema", {})) for body in answer.get("content", {}).values()}
        yield f"| {status} | {_line(answer)} {' '.join(sorted(kinds - {'any'}))} |"
    yield ""


def _object(name: str, schema: dict[str, Any]) -> Iterator[str]:
    yield f"### {name}\n"
    yield schema.get("description", "") + "\n"
    if fields := schema.get("properties"):
        yield "| field | type | default | |\n|---|---|---|---|"
        for field, each in fields.items():
            default = "required" if field in schema.get("required", []) else each.get("default", "")
            yield f"| `{field}` | {_kind(each)} | {_cell(default)} | {_line(each)} |"
        yield ""


def _kind(schema: dict[str, Any]) -> str:
    """A JSON schema in a few words, objects as links."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return " or ".join(dict.fromkeys(_kind(each) for each in schema[choice]))
    if "const" in schema or "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return str(schema.get("type", "any"))


def _line(schema: dict[str, Any]) -> str:
    return _cell(schema.get("description", ""))


def _cell(value: Any) -> str:
    """Text that keeps within one cell of a table."""
    return re.sub(r"\s+", " ", str(value)).replace("|", "\\|").replace("<", "&lt;")


def command_line() -> Iterator[str]:
    """Every command with its arguments and options, from the typer application."""
    yield "# Command line\n"
    root = typer.main.get_command(app)
    context = click.Context(root, info_name="ancestral")
    yield from _command(context, root)


def _command(context: click.Context, command: Any) -> Iterator[str]:
    children = getattr(command, "commands", {})
    if not children or command.params:
        yield f"## `{context.command_path}`\n"
        yield re.sub(r"\s+", " ", command.help or "") + "\n"
        yield f"    {' '.join([context.command_path, *command.collect_usage_pieces(context)])}\n"
        yield "| | |\n|---|---|"
        for parameter in command.params:
            record = getattr(parameter, "help", None) or ""
            if isinstance(default := getattr(parameter, "show_default", None), str):
                record += f" Default: {default}."
            names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
            yield f"| {names} | {_cell(record)} |"
        yield ""
    for name, child in children.items():
        if not child.hidden:
            inner = click.Context(child, info_name=name, parent=context)
            yield from _command(inner, child)
