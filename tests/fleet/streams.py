"""Twenty streams over WebSockets, read to their ends, and what they should have been."""

from __future__ import annotations

import functools
import json
import threading
import time
from typing import Any

import numpy as np
from tests.api.server import Server, send

import ancestral
from ancestral.api.wire import Frame

STREAMS = 20
SECONDS = 400.0  # until a stream must have ended


class Reader(threading.Thread):
    """One stream, started by `generate`; where its server dies, another one resumes it."""

    def __init__(self, server: Server, other: Server, seed: int, sites: int) -> None:
        super().__init__(daemon=True)
        self.seed, self.sites = seed, sites
        self.values: list[int] = []
        self.job = ""
        self.ended: dict[str, Any] = {}
        self.resumed = 0
        self._servers = [server, other]
        self._end = time.monotonic() + SECONDS

    def run(self) -> None:
        while not self.ended:
            try:
                self._read()
            except Exception:
                if not self.job or time.monotonic() > self._end:
                    raise
                self._servers.reverse()
                self.resumed += 1
                time.sleep(0.05)

    def _read(self) -> None:
        with self._servers[0].socket() as socket:
            if self.job:
                send(socket, type="resume", job=self.job, next=[len(self.values)])
            else:
                send(
                    socket,
                    type="generate",
                    model="long-wavenet",
                    seed=self.seed,
                    sites=self.sites,
                    condition={"label": 1},
                )
            for message in socket:
                if isinstance(message, bytes):
                    frame = Frame.decode(message)
                    assert frame.first_site == len(self.values), "a gap or an overlap"
                    self.values += frame.values
                    continue
                told = json.loads(message)
                self.job = told["job"]
                if told["type"] in ("done", "error", "canceled"):
                    self.ended = told
                    return


def start(
    server: Server, sites: int, other: Server | None = None, count: int = STREAMS
) -> list[Reader]:
    readers = [Reader(server, other or server, seed, sites) for seed in range(count)]
    for reader in readers:
        reader.start()
    return readers


def join(readers: list[Reader], model: ancestral.Model, seconds: float = SECONDS) -> None:
    """Wait for the ends; every stream must be whole and as one worker alone draws it."""
    for reader in readers:
        reader.join(seconds)
        assert reader.ended.get("type") == "done", (reader.ended, len(reader.values))

    @functools.cache
    def alone(seed: int, sites: int) -> Any:
        return model.sample(1, seed, {"label": 1}, sites=sites)

    for reader in readers:
        expected = alone(reader.seed, reader.sites)
        np.testing.assert_array_equal(reader.values, expected.items[0])
        (told,) = reader.ended["items"]
        np.testing.assert_allclose(told["log_prob"], expected.log_prob[0], rtol=1e-12)
