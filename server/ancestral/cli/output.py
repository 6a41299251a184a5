"""What commands share: printing to people or as JSON, and options of the same name and meaning."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from ancestral.cli.complete import model_names, runtimes
from ancestral.settings import Settings

if TYPE_CHECKING:
    from ancestral.store.manifest import Manifest

FAILED = 1  # the work was done and the verdict is no, or a part of it failed
_FILES = (".npy", ".wav")  # what a condition may be read from
_JSON = tuple('[{"')  # what begins with these is JSON, whatever it holds
REFUSED = 2  # bad input; nothing was done
PIPE_COLUMNS = 200  # at most, where there is no terminal to ask

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, nothing else.")]
ModelName = Annotated[str, typer.Argument(help="NAME or NAME/VERSION.", autocompletion=model_names)]
ModelNames = Annotated[
    list[str] | None,
    typer.Argument(metavar="[MODEL]…", help="All packages where none.", autocompletion=model_names),
]
Models = Annotated[
    Path | None,
    typer.Option("--models", help="Folder of model packages.", show_default="the shipped ones"),
]
RuntimeOption = Annotated[
    str | None,
    typer.Option(
        "--runtime",
        metavar="NAME",
        help="native, onnx, reference or naive; the next of them where one does not know a model.",
        autocompletion=runtimes,
    ),
]
WeightsOption = Annotated[
    str | None,
    typer.Option(
        "--weights",
        metavar="KIND",
        help="float32, bf16 or int8: what matrices are rounded to.",
        show_default="as the package says",
    ),
]
Conditions = Annotated[
    list[str] | None,
    typer.Option(
        "--condition",
        "-c",
        metavar="NAME=VALUE",
        help="Such as label=3, mel=FILE.npy or mel=FILE.wav; repeatable.",
    ),
]


def people() -> Console:
    """For progress and remarks: standard error, so that standard output can be piped."""
    return Console(stderr=True)


def say(content: Any) -> None:
    """A table or a line for people, on standard output; in a pipe as wide as a table needs."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPE_COLUMNS)
        console.width = max(80, console.measure(content).maximum)
    console.print(content)


def emit(document: Any) -> None:
    """One JSON document on standard output; numbers that JSON has no word for are null."""
    json.dump(_plain(document), sys.stdout, indent=2, allow_nan=False)
    sys.stdout.write("\n")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    return value


def settings(models: Path | None) -> Settings:
    """The process's settings, with the folder of packages that the command line names."""
    found = Settings.from_env()
    return found if models is None else replace(found, models=models)


def condition(pairs: Sequence[str] | None) -> dict[str, Any] | None:
    """`["label=3"]` as `{"label": 3}`; a list such as 1,2,3 gives one for each item.

    `mel=FILE.npy` and `mel=FILE.wav` are the bytes of that file; other text names a class.

    Raises ValueError for what is no NAME=VALUE.
    """
    found: dict[str, Any] = {}
    for pair in pairs or ():
        name, equals, text = pair.partition("=")
        if not name or not equals:
            raise ValueError(f"--condition {pair}: NAME=VALUE is expected")
        if text.lower().endswith(_FILES):
            found[name] = Path(text).read_bytes()
            continue
        try:
            found[name] = _value(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"--condition {pair}: {text!r} is not JSON: {error}") from error
    return found or None


def _value(text: str) -> Any:
    """JSON, or what is no JSON as it is; several between commas are a list."""
    if text[:1] in _JSON:
        return json.loads(text)
    if "," in text:
        return [_value(part.strip()) for part in text.split(",")]
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def values(
    given: dict[str, Any] | None, manifest: Manifest, *, fit: bool = False
) -> tuple[dict[str, Any] | None, list[str]]:
    """What `condition` found, its files as arrays or a sound's frames; and the steps of `fit`."""
    from ancestral.engine.recordings import read_condition

    if given is None:
        return None, []
    steps: list[str] = []
    found = dict(given)
    for name, value in given.items():
        if isinstance(value, bytes):
            found[name], taken = read_condition(value, name, manifest, fit=fit)
            steps += taken
    return found, steps
