"""What a worker process tells over HTTP: `/metrics`, `/health/live` and `/health/ready`."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

STALE_SECONDS = 30.0  # longer than any turn: a pass of one very long item may take seconds
Reasons = Callable[[], list[str]]


class Pulse:
    """Whether a counter of steps advances, by this process's own clock."""

    def __init__(
        self, steps: Callable[[], int], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._steps, self._clock = steps, clock
        self._seen = steps()
        self._since = clock()

    def reasons(self) -> list[str]:
        """Why the worker does not look alive: its counter has stood still between two asks."""
        now, steps = self._clock(), self._steps()
        if steps != self._seen:
            self._seen, self._since = steps, now
        return ["stands still"] if now - self._since > STALE_SECONDS else []


class Monitor:
    """Answers at a port from now on; `live` and `ready` give the reasons why not, if any."""

    def __init__(self, port: int, registry: CollectorRegistry, host: str = "0.0.0.0") -> None:
        self.live: Reasons = list
        self.ready: Reasons = lambda: ["starting"]
        monitor = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/metrics":
                    self._answer(200, CONTENT_TYPE_LATEST, generate_latest(registry))
                elif self.path in ("/health/live", "/health/ready"):
                    told = self.path.removeprefix("/health/")
                    reasons = monitor.live() if told == "live" else monitor.ready()
                    body = {"status": f"not {told}" if reasons else told, "reasons": reasons}
                    status = 503 if reasons else 200
                    self._answer(status, "application/json", json.dumps(body).encode())
                else:
                    self._answer(404, "text/plain", b"/metrics, /health/live, /health/ready\n")

            def _answer(self, status: int, kind: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                with contextlib.suppress(ConnectionError):  # who asked did not wait
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Probes come every few seconds."""

        self._server = ThreadingHTTPServer((host, port), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="ancestral-monitor", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
