from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from tests.cli.conftest import Run

START_SECONDS = 90.0  # importing torch and compiling two small packages on a busy machine


def test_serve_answers_and_stops(small_store: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "ancestral.cli.main"]
    process = subprocess.Popen(
        [*command, "serve", "--models", str(small_store), "--port", str(port), "--slots", "3"],
        env={**os.environ, "ANCESTRAL_LOG_FORMAT": "json"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + START_SECONDS
        while not _ready(url):
            assert time.monotonic() < deadline, "not ready in time"
            assert process.poll() is None
            time.sleep(0.2)
        names = [model["name"] for model in httpx.get(f"{url}/models").json()["models"]]
        assert names == ["tiny-pixelcnn", "tiny-wavenet", "tiny-wavernn"]
        assert httpx.get(f"{url}/models/tiny-wavenet").json()["slots_total"] == 3
    finally:
        process.send_signal(signal.SIGINT)
        _, log = process.communicate(timeout=40)
    assert '"path": "/models"' in log
    assert "Traceback" not in log


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/ready").status_code == 200
    except httpx.TransportError:
        return False


def test_bad_settings(run: Run, small_store: Path) -> None:
    found = run("serve", "--models", small_store, "--port", 70000)
    assert found.status == 2
    assert "ANCESTRAL_PORT" in found.err
    assert run("serve", "--models", small_store / "absent").status == 2


def test_a_public_address_needs_a_word(run: Run, small_store: Path) -> None:
    found = run("serve", "--models", small_store, "--host", "0.0.0.0")
    assert found.status == 2
    assert "--allow-anonymous" in found.err


def test_settings(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANCESTRAL_MAX_ITEMS", "17")
    shown = run("settings", "--queue-depth", 99).out
    assert "17" in shown
    assert "99" in shown
    monkeypatch.setenv("ANCESTRAL_MAX_ITEM", "17")
    found = run("settings")
    assert found.status == 2
    assert "did you mean ANCESTRAL_MAX_ITEMS" in found.err
