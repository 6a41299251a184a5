"""What tests do with a running server."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
from tests import pace
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from ancestral.api.wire import Frame

WIRE = {"uint8": "<u1", "int16": "<i2", "int32": "<i4", "float32": "<f4"}


class Server:
    """A server at `url`; in the folder `hold` a test says which models are held (`pace`)."""

    def __init__(self, url: str, hold: Path | None = None) -> None:
        self.url = url
        self.client = httpx.Client(base_url=url, timeout=240)
        self._hold = hold

    def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(path, json=body, headers=names)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels."""
        total = 0.0
        for line in self.client.get("/metrics").text.splitlines():
            head, _, value = line.rpartition(" ")
            if head.partition("{")[0] == name and all(
                f'{label}="{wanted}"' in head for label, wanted in labels.items()
            ):
                total += float(value)
        return total

    def held(self, model: str = "long-wavenet") -> AbstractContextManager[Callable[[], None]]:
        """Until the end of the block no item of a model comes to its end, if it is long."""
        assert self._hold is not None
        return pace.held(self._hold, model)

    def slots_in_use(self) -> int:
        """Of all models of all workers."""
        workers = self.client.get("/workers").json()["workers"]
        return sum(int(worker["slots_in_use"]) for worker in workers)

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what must come about."""
        end = time.monotonic() + 120
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.02)

    def standstill(self) -> float:
        """Sites generated, once nothing is drawn any more."""
        self.until(lambda: self.slots_in_use() == 0)
        return self.metric("ancestral_sites_generated_total")

    def socket(self, *protocols: str, query: str = "") -> ClientConnection:
        """An `ancestral.v1` socket."""
        url = self.url.replace("http", "ws") + "/stream" + query
        names = [Subprotocol(name) for name in ("ancestral.v1", *protocols)]
        # a busy machine is no broken one: it may take long to answer
        return connect(url, subprotocols=names, max_size=None, open_timeout=120, ping_timeout=None)

    def assert_alive(self) -> None:
        """It still scores and samples."""
        body = {"model": "tiny-made", "seed": 1}
        assert self.post("/sample", body).status_code == 200


class Received:
    """A job read from a socket to its end."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.frames: list[Frame] = []

    @property
    def types(self) -> list[str]:
        return [message["type"] for message in self.messages]

    def message(self, kind: str) -> dict[str, Any]:
        return next(message for message in self.messages if message["type"] == kind)

    def values(self, item: int) -> npt.NDArray[Any]:
        """One item's values [S, C]; its frames must follow each other without gap or overlap."""
        frames = [frame for frame in self.frames if frame.item == item]
        at = frames[0].first_site
        for frame in frames:
            assert frame.first_site == at
            at += frame.count
        assert [frame.last for frame in frames] == [False] * (len(frames) - 1) + [True]
        flat = b"".join(frame.values for frame in frames)
        dims = self.message("started")["dims_per_site"]
        return np.frombuffer(flat, WIRE[frames[0].dtype]).reshape(-1, dims)


def send(socket: ClientConnection, **message: Any) -> None:
    socket.send(json.dumps(message))


def receive(socket: ClientConnection, stop: tuple[str, ...] = ()) -> Received:
    """Everything up to the first final message (or one of `stop`)."""
    found = Received()
    while True:
        message = socket.recv(timeout=240)
        if isinstance(message, bytes):
            found.frames.append(Frame.decode(message))
            continue
        found.messages.append(json.loads(message))
        if found.types[-1] in ("done", "error", "canceled", *stop):
            return found


def generate(socket: ClientConnection, **request: Any) -> Received:
    """Ask for samples and read them."""
    send(socket, type="generate", **request)
    return receive(socket)
