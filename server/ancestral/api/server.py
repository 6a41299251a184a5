"""Run the app under uvicorn."""

from __future__ import annotations

import math
import socket
import time
from types import FrameType

import uvicorn

from ancestral.api.app import create_app
from ancestral.api.services import Services
from ancestral.engine.process import leave
from ancestral.engine.worker import Worker
from ancestral.logs import set_up_logs
from ancestral.settings import Settings
from ancestral.tracing import set_up_traces

PING_SECONDS = 20  # between pings of an idle or busy socket
PONG_SECONDS = 180  # a slow reader meets our ping only behind the data that it has yet to read


class Server(uvicorn.Server):
    """Drains before it stops: new work is refused with 503 while streams over sockets finish.

    Plain requests are waited for by uvicorn itself, to the same end. What runs then is broken off:
    jobs of streams go on, and their clients find them at another process. A second signal stops
    at once.
    """

    def __init__(self, config: uvicorn.Config, services: Services, worker: Worker | None) -> None:
        super().__init__(config)
        self._services = services
        self.worker = worker

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        services = self._services
        if services.draining:
            services.drain_until = time.monotonic()
            super().handle_exit(sig, frame)
            return
        services.draining = True
        services.drain_until = time.monotonic() + services.settings.drain_seconds

    async def on_tick(self, counter: int) -> bool:
        services = self._services
        if services.draining and (services.streams == 0 or time.monotonic() > services.drain_until):
            self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        left = self._services.drain_until - time.monotonic()
        if left < math.inf:  # whole seconds, the last of which comes after `drain_until`
            self.config.timeout_graceful_shutdown = max(0, math.floor(left)) + 1
        await super().shutdown(sockets)


def server(settings: Settings) -> Server:
    """uvicorn as we need it: one process, no per-message deflate, bounded WebSocket messages."""
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        ws_max_size=settings.max_body_bytes,
        ws_ping_interval=PING_SECONDS,
        ws_ping_timeout=PONG_SECONDS,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=math.ceil(settings.drain_seconds),
        access_log=False,
        log_config=None,
        server_header=False,
    )
    return Server(config, app.state.services, app.state.worker)


def serve(settings: Settings) -> None:
    """Serve until interrupted; a model that is being loaded then is not waited for."""
    set_up_logs(settings)
    set_up_traces(settings, "ancestral-api")
    running = server(settings)
    running.run()
    if running.worker is not None:
        leave(running.worker)
