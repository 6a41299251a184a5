"""The JavaScript client's own tests, under node."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.api.server import Server

ROOT = Path(__file__).parents[2] / "clients" / "js"


def test_parts() -> None:
    run("parts")


def test_against_a_server(server: Server) -> None:
    run("client", ANCESTRAL_URL=server.url)


def run(suite: str, **variables: str) -> None:
    """Run a suite; skips where there is no node that could."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    major = int(version.lstrip("v").partition(".")[0])
    if major < 20:
        pytest.skip(f"node {version.strip()} is older than 20")
    sockets = ["--experimental-websocket"] if major < 22 else []  # there by itself from 22 on
    done = subprocess.run(
        [node, *sockets, "--test", f"test/{suite}.test.js"],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
