"""Two hundred streams at once, a quarter of whose readers have stopped reading."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import pytest
from tests.api.server import Server, send
from tests.fleet.conftest import Fleet
from tests.fleet.streams import Reader
from tests.fleet.test_faults import until
from tests.fleet.test_load import MIB, resident, slots_in_use
from websockets.sync.client import connect
from websockets.typing import Subprotocol

pytestmark = pytest.mark.slow

STREAMS, STALLED = 200, 50
PACE = 5.0  # times as long as without the stalled ones, at most
SITES, ENDLESS = 1_000, 200_000
MODEL = {"model": "long-wavenet", "condition": {"label": 1}}


@contextmanager
def stalled(server: Server, seed: int) -> Iterator[None]:
    """A socket that starts a long stream and never reads again; its window is small."""
    host, port = server.url.removeprefix("http://").split(":")
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    raw.connect((host, int(port)))
    url = server.url.replace("http", "ws") + "/stream"
    protocols = [Subprotocol("ancestral.v1")]
    patience = {"open_timeout": 120, "ping_interval": None, "close_timeout": 0.1}
    with connect(url, sock=raw, subprotocols=protocols, max_queue=1, **patience) as opened:
        send(opened, type="generate", **MODEL, seed=seed, sites=ENDLESS)
        yield
        raw.shutdown(socket.SHUT_RDWR)  # without a word, as a client that crashes


def paced(server: Server) -> float:
    """The readers' streams, each whole; their seconds from first to last."""
    readers = [Reader(server, server, seed, SITES) for seed in range(STREAMS - STALLED)]
    started = time.monotonic()
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(400)
        assert reader.ended.get("type") == "done", (reader.ended, len(reader.values))
        assert len(reader.values) == SITES
    return time.monotonic() - started


def test_stalled_readers_hold_up_nobody(fleet: Fleet) -> None:
    fleet.settings = {"SLOTS": str(STREAMS), "PACKAGES": "long-wavenet"}
    server, api = fleet.api()
    worker = fleet.worker()
    fleet.wait_until_ready(server, 1)
    alone = paced(server)
    before = [resident(process.pid) for process in (api, worker)]
    with ExitStack() as silent:
        for index in range(STALLED):
            silent.enter_context(stalled(server, 1_000 + index))
        # twice: the machine may have had something else to do
        beside = min(paced(server) for _ in range(2))
        still = server.metric("ancestral_websockets_open")
        values = Reader(server, server, 7, SITES)
        values.start()
        values.join(240)
    grown = [
        (resident(process.pid) - then) / MIB
        for process, then in zip((api, worker), before, strict=True)
    ]
    print(  # noqa: T201
        f"{STREAMS - STALLED} streams in {alone:.1f} s, beside {STALLED} stalled ones in "
        f"{beside:.1f} s; the API grew by {grown[0]:.1f} MiB, the worker by {grown[1]:.1f} MiB"
    )
    assert beside < PACE * alone
    assert max(grown) < 256  # slots of 200,000 sites hold values and nats: 2.4 MiB each
    assert still >= STALLED
    expected = fleet.model.sample(1, 7, {"label": 1}, sites=SITES)
    np.testing.assert_array_equal(values.values, expected.items[0])
    until(lambda: slots_in_use(fleet) == 0)
