"""Flags of commands that take all settings: one for each field, named after it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic.fields import FieldInfo

from ancestral.settings import Settings

PANEL = "Settings"
Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="TOML file of settings.", rich_help_panel=PANEL),
]


def flag_of(name: str) -> str:
    return "--" + name.replace("_", "-")


def with_settings(
    named: Mapping[str, str] | None = None, *, worker: bool = False
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command a flag for each field, in place of its parameter `settings`.

    `named` are flags with other names than their fields'; a worker has none for what the API alone
    reads.
    """
    flags = {name: flag_of(name) for name in _names(worker)} | dict(named or {})

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        def run(config: Path | None, **given: Any) -> None:
            told = {name: given.pop(name) for name in flags}
            command(settings=Settings.from_env(config=config, **told), **given)

        keyword = inspect.Parameter.KEYWORD_ONLY
        own = inspect.signature(command, eval_str=True).parameters.values()
        parameters = [
            *[one.replace(kind=keyword) for one in own if one.name != "settings"],
            inspect.Parameter("config", keyword, default=None, annotation=Config),
            *[
                inspect.Parameter(name, keyword, default=None, annotation=_option(name, flag))
                for name, flag in flags.items()
            ],
        ]
        run.__name__, run.__doc__ = command.__name__, command.__doc__
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return run

    return decorate


def info_of(name: str) -> FieldInfo:
    """A field's default, description and bounds."""
    found: FieldInfo = Settings.__pydantic_fields__[name]  # type: ignore[attr-defined]
    return found


def _names(worker: bool) -> list[str]:
    names = [field.name for field in fields(Settings)]
    return [name for name in names if not (worker and _of_api(info_of(name)))]


def _of_api(info: FieldInfo) -> bool:
    extra = info.json_schema_extra
    return isinstance(extra, dict) and bool(extra["api"])


def _option(name: str, flag: str) -> Any:
    info = info_of(name)
    text = (info.description or "").replace("`", "")
    if isinstance(info.default, bool):
        option = typer.Option(flag, help=text, rich_help_panel=PANEL)
        return Annotated[bool | None, option]
    shown = False if info.default in ("", None) else str(info.default)
    option = typer.Option(
        flag, metavar="VALUE", help=text, show_default=shown, rich_help_panel=PANEL
    )
    return Annotated[str | None, option]
