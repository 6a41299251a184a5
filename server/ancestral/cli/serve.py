"""`ancestral serve` and `ancestral worker`: in one process, or in as many as you like."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Annotated

import typer

from ancestral.addresses import require_free
from ancestral.cli.flags import with_settings
from ancestral.settings import Settings


@with_settings({"drain_seconds": "--drain"})
def serve(
    settings: Settings,
    embedded_redis: Annotated[
        bool, typer.Option("--embedded-redis", help="Start a broker and workers as processes.")
    ] = False,
    workers: Annotated[
        int, typer.Option(min=1, help="Worker processes, with --embedded-redis.")
    ] = 1,
) -> None:
    """Serve the model packages of a folder over HTTP and WebSocket.

    Alone it is one process. With --broker it is the API only, for which `ancestral worker` works.
    """
    _end_when_asked()
    if embedded_redis and settings.broker:
        raise ValueError("--embedded-redis and --broker exclude each other")
    settings.require_guarded()
    _check_address(settings)
    if not settings.broker:
        _check_device(settings)
    from ancestral.api.server import serve as run

    if not embedded_redis:
        run(settings)
        return
    from ancestral.api.fleet import fleet

    with fleet(settings, workers) as shared:
        run(shared)


@with_settings(
    {"packages": "--models", "models": "--store", "drain_seconds": "--drain"}, worker=True
)
def worker(
    settings: Settings,
    metrics_port: Annotated[
        int | None, typer.Option(help="Metrics and health of this worker over HTTP at this port.")
    ] = None,
) -> None:
    """Work for the API processes that share a broker."""
    _end_when_asked()
    if not settings.broker:
        raise ValueError("--broker, or ANCESTRAL_BROKER, must say where jobs come from")
    _check_device(settings)
    from ancestral.engine.process import work
    from ancestral.logs import set_up_logs
    from ancestral.tracing import set_up_traces

    set_up_logs(settings)
    set_up_traces(settings, "ancestral-worker")
    work(settings, metrics_port=metrics_port)


def _check_address(settings: Settings) -> None:
    """Before anything is started."""
    try:
        require_free(settings.host, settings.port)
    except OSError as error:
        raise ValueError(
            f"{settings.host}:{settings.port} cannot be listened at: {error.strerror or error}; "
            "--host and --port (ANCESTRAL_HOST, ANCESTRAL_PORT) name another address"
        ) from error


def _check_device(settings: Settings) -> None:
    """Before anything is loaded."""
    if settings.device == "cpu":
        return
    from ancestral.runtimes.cuda.runtime import checked_device

    checked_device(settings.device)


def _end_when_asked() -> None:
    """End on SIGTERM until the server or worker has its own way of stopping.

    The first process of a container ignores a signal that it has no handler for.
    """

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, end)
