"""A real server process over a store of tiny packages, shared by the tests of a process."""

from __future__ import annotations

import itertools
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import numpy as np
import pytest
from tests.api.server import Server
from tests.pace import COMMAND, HOLD
from tests.packages import MU_LAW, TINY, publish
from tests.ports import free_port

import ancestral

# set by tests/fleet/test_api.py, which runs the tests of this folder again
AS_FLEET = bool(os.environ.get("ANCESTRAL_TEST_FLEET"))


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages of `TINY`, and a WaveNet whose items are long enough to be interrupted."""
    root = tmp_path_factory.mktemp("store")
    for name in TINY:
        publish(root, name)
    sound = {
        "kind": "audio",
        "levels": 16,
        "codec": MU_LAW,
        "sample_rate": 1000,
        "length": {"default": 1000, "maximum": 200_000},
    }
    publish(root, "tiny-wavenet", name="long-wavenet", data=sound)
    made = ancestral.load("tiny-made", root=root)
    items = np.array(list(itertools.product((0, 1), repeat=6)))
    scores = sorted(score.log_prob for score in made.log_prob(items))
    publish(root, "tiny-made", name="known-made", reference={"unit": "nats", "scores": scores})
    return root


@pytest.fixture(scope="session")
def server(store: Path) -> Iterator[Server]:
    """A uvicorn process that is ready; it must end cleanly."""
    with running(store) as (found, _):
        yield found


@contextmanager
def running(store: Path, **settings: str) -> Iterator[tuple[Server, subprocess.Popen[bytes]]]:
    """A server process of one's own; SETTING="value" is ANCESTRAL_SETTING."""
    hold = TemporaryDirectory()
    port = free_port()
    env = os.environ | {
        "ANCESTRAL_MODELS": str(store),
        "ANCESTRAL_PORT": str(port),
        "ANCESTRAL_MAX_BODY_BYTES": str(2**20),
        "ANCESTRAL_QUEUE_DEPTH": "64",
        "OMP_NUM_THREADS": "1",
        HOLD: hold.name,
        **{f"ANCESTRAL_{name}": value for name, value in settings.items()},
    }
    process = subprocess.Popen([*COMMAND, "serve-fleet" if AS_FLEET else "serve-api"], env=env)
    found = Server(f"http://127.0.0.1:{port}", Path(hold.name))
    try:
        _wait_until_ready(found, process)
        yield found, process
    finally:
        process.terminate()
        code = process.wait(120)
        found.client.close()
        hold.cleanup()
    assert code in (0, -15)


def _wait_until_ready(server: Server, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 600
    while time.monotonic() < end:
        assert process.poll() is None, "the server ended"
        try:
            if server.client.get("/health/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise TimeoutError(server.client.get("/health/ready").text)
