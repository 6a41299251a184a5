"""The JavaScript client's own tests, under node."""

from __future__ import annotations

import inspect
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.api.server import Server

from ancestral_client import AsyncClient

ROOT = Path(__file__).parents[2] / "clients" / "js"


@pytest.mark.parametrize("suite", ["frames", "painter", "parts", "sound"])
def test_parts(suite: str) -> None:
    run(suite)


def test_types() -> None:
    """What users write passes tsc, and what the types declare is there."""
    if not (ROOT / "node_modules" / "typescript").is_dir():
        pytest.skip("TypeScript is not installed: make types")
    node("node_modules/typescript/bin/tsc")
    run("types")


def test_the_same_verbs() -> None:
    """As the Python client's, in the language's own spelling."""
    declared = (ROOT / "src" / "index.d.ts").read_text(encoding="utf-8")
    client = declared.partition("export class Client {")[2].partition("\n}")[0]
    found = set(re.findall(r"^  (\w+)\(", client, re.MULTILINE))
    verbs = {name for name, _ in inspect.getmembers(AsyncClient, inspect.isfunction)}
    wanted = {name for name in verbs if not name.startswith("_")} - {"aclose", "iter_log_prob"}
    assert {re.sub(r"_(\w)", lambda part: part[1].upper(), name) for name in wanted} <= found
    assert "scores" in found  # iter_log_prob


def test_against_a_server(server: Server) -> None:
    run("client", ANCESTRAL_URL=server.url)


def test_the_readme(server: Server) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    sampling, streaming, _ = re.findall(r"```js\n(.*?)```", text, re.DOTALL)
    script = (sampling + streaming).replace("http://127.0.0.1:8000", server.url)
    lines = node("--input-type=module", "-e", script).splitlines()
    assert re.fullmatch(r"\d\.\d+ \d+", lines[0])
    assert re.match(r"0 0 Uint8Array\(\d+\) ", lines[1])


def run(suite: str, **variables: str) -> None:
    """Run a suite."""
    node("--test", f"test/{suite}.test.js", **variables)


def node(*arguments: str, **variables: str) -> str:
    """What node prints; skips where there is none that could."""
    binary = shutil.which("node")
    if binary is None:
        pytest.skip("node is not installed")
    version = subprocess.run(
        [binary, "--version"], capture_output=True, text=True, check=True
    ).stdout
    major = int(version.lstrip("v").partition(".")[0])
    if major < 20:
        pytest.skip(f"node {version.strip()} is older than 20")
    sockets = ["--experimental-websocket"] if major < 22 else []  # there by itself from 22 on
    done = subprocess.run(
        [binary, *sockets, *arguments],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
