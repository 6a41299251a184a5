from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from tests.cli.conftest import Run
from tests.ports import free_port

START_SECONDS = 400.0  # importing torch and compiling two small packages on a busy machine


def test_serve_answers_and_stops(small_store: Path, tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "ancestral.cli.main"]
    path = tmp_path / "log"  # a pipe that nobody reads meanwhile would fill up
    with path.open("w") as lines:
        process = subprocess.Popen(
            [*command, "serve", "--models", str(small_store), "--port", str(port), "--slots", "3"],
            env={**os.environ, "ANCESTRAL_LOG_FORMAT": "json"},
            stderr=lines,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + START_SECONDS
        while not _ready(url):
            assert time.monotonic() < deadline, "not ready in time"
            assert process.poll() is None
            time.sleep(0.2)
        names = [model["name"] for model in get(f"{url}/models").json()["models"]]
        assert names == ["tiny-pixelcnn", "tiny-wavenet", "tiny-wavernn"]
        assert get(f"{url}/models/tiny-wavenet").json()["slots_total"] == 3
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(120)
    log = path.read_text()
    assert '"path": "/models"' in log
    assert "Traceback" not in log


get = functools.partial(httpx.get, timeout=60)


def _ready(url: str) -> bool:
    try:
        return get(f"{url}/health/ready").status_code == 200
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
