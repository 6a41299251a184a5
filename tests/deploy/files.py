"""The files of docker/ as a test reads them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer
import yaml

from ancestral.cli.main import app
from ancestral.settings import Settings

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
_VARIABLE = re.compile(r"\$\{(\w+)(?::?-([^}]*))?\}")


def documents(path: Path) -> list[dict[str, Any]]:
    return [found for found in yaml.safe_load_all(path.read_text("utf-8")) if found]


def compose() -> dict[str, Any]:
    """docker-compose.yml as it is where no variable is set."""
    text = (ROOT / "docker-compose.yml").read_text("utf-8")
    defaults: Callable[[re.Match[str]], str] = lambda found: found[2] or ""  # noqa: E731
    document: dict[str, Any] = yaml.safe_load(_VARIABLE.sub(defaults, text))
    return document


def assert_command(arguments: list[str]) -> None:
    """The arguments are those of a command of `ancestral`. Raises click's own error otherwise."""
    group: Any = typer.main.get_command(app)
    name, *rest = arguments
    group.commands[name].make_context(name, list(rest))


def settings(env: dict[str, str]) -> Settings:
    """Settings of these variables. Raises ValueError for those that are none."""
    return Settings.from_env(env)


def seconds(text: str) -> float:
    """`1m15s` as seconds."""
    units = {"m": 60, "s": 1}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)([ms])", text))
