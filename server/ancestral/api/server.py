"""Run the app under uvicorn."""

from __future__ import annotations

import logging

import uvicorn

from ancestral.api.app import create_app
from ancestral.api.middleware import JsonLines
from ancestral.settings import Settings

DRAIN_SECONDS = 30  # running streams may finish when the process is asked to stop


def config(settings: Settings) -> uvicorn.Config:
    """uvicorn as we need it: one process, no per-message deflate, bounded WebSocket messages."""
    return uvicorn.Config(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        ws_max_size=settings.max_body_bytes,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        access_log=False,
        log_config=None,
        server_header=False,
    )


def serve(settings: Settings) -> None:
    """Serve until interrupted."""
    handler = logging.StreamHandler()
    if settings.log_format == "json":
        handler.setFormatter(JsonLines())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    uvicorn.Server(config(settings)).run()
