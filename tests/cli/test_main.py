from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import typer
from tests.cli.conftest import Run

import ancestral
from ancestral.cli.main import app


def test_version_and_help(run: Run) -> None:
    assert run("--version").out == f"ancestral {ancestral.__version__}\n"
    help_text = run("--help").out
    for command in (
        "serve", "models", "score", "sample", "train", "import", "verify", "calibrate", "bench",
        "doctor",
    ):  # fmt: skip
        assert command in help_text
        assert run(command, "--help").status == 0


def test_unknown_commands(run: Run) -> None:
    assert run("paint").status == 2


def test_help_does_not_wait_for_torch() -> None:
    code = "import sys, ancestral.cli.main; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_settings_as_json(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANCESTRAL_MAX_BODY_BYTES", "2MiB")
    found = run("settings", "--json", "--slots", 7).json
    assert (found["slots"], found["max_body_bytes"], found["broker"]) == (7, 2 * 2**20, "")


def test_every_command_has_json() -> None:
    """But the two that serve, whose log may be JSON."""

    def leaves(command: Any, path: str) -> dict[str, Any]:
        found = {} if getattr(command, "callback", None) is None else {path: command}
        for name, inner in getattr(command, "commands", {}).items():
            found |= leaves(inner, f"{path} {name}".strip())
        return found

    found = leaves(typer.main.get_command(app), "")
    without = {
        path
        for path, command in found.items()
        if path and "--json" not in [flag for option in command.params for flag in option.opts]
    }
    assert without == {"serve", "worker"}
    assert {"bench package", "models list", "keys revoke", "import"} <= set(found)


def test_an_interruption_has_its_status(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ancestral.store.list_packages", interrupted)
    assert run("models", "list").status == 130
