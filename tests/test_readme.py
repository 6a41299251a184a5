"""What the README tells people to do is there to be done."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
import typer.main

from ancestral.api.connection import Connection
from ancestral.api.schemas import LogProbBody, SampleBody
from ancestral.cli.main import app

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def recipes() -> set[str]:
    return {
        tomllib.loads(path.read_text(encoding="utf-8"))["name"]
        for path in (ROOT / "models_store" / "recipes").glob("*.toml")
    }


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_make_targets_and_commands_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^    make (\S+)", text, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for command in re.findall(r"^    ancestral (\S+)", text, re.MULTILINE):
        assert command in commands
    for line in re.findall(r"^    ancestral (.+)$", text, re.MULTILINE):
        command = commands[line.split()[0]]
        parts = [command, *getattr(command, "commands", {}).values()]  # a group's subcommands
        options = {o for part in parts for parameter in part.params for o in parameter.opts}
        for option in re.findall(r"(?<!\S)(--?[a-z][a-z-]*)", line.partition("#")[0]):
            assert option in options, line


def test_bodies_fit_the_schemas() -> None:
    bodies = [json.loads(body) for body in re.findall(r"-d '(\{.*?\})'", README)]
    assert len(bodies) == 3
    for body in bodies:
        schema = LogProbBody if "inputs" in body else SampleBody
        assert schema.model_validate(body).model in recipes()
        if "inputs" not in body:
            Connection().receive(json.dumps({"type": "generate", **body}))


def test_models_are_ours() -> None:
    named = set(re.findall(r"(?:model=|load\(\"|recipes/)([a-z0-9-]+)", README))
    named |= set(re.findall(r"^    ancestral (?:sample|score) (\S+)", README, re.MULTILINE))
    assert named
    assert named <= recipes()
