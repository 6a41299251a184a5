"""`ancestral serve` and `ancestral worker`: in one process, or in as many as you like."""

from __future__ import annotations

from typing import Annotated

import typer

from ancestral.cli.flags import with_settings
from ancestral.settings import Settings


@with_settings()
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
    if embedded_redis and settings.broker:
        raise ValueError("--embedded-redis and --broker exclude each other")
    settings.require_guarded()
    from ancestral.api.server import serve as run

    if not embedded_redis:
        run(settings)
        return
    from ancestral.api.fleet import fleet

    with fleet(settings, workers) as shared:
        run(shared)


@with_settings({"packages": "--models", "models": "--store"}, worker=True)
def worker(
    settings: Settings,
    device: Annotated[str, typer.Option(help="Where networks run.")] = "cpu",
    drain: Annotated[
        float, typer.Option(min=0, help="Seconds to finish what runs before it is handed over.")
    ] = 25.0,
    metrics_port: Annotated[
        int | None, typer.Option(help="Prometheus metrics of this worker at this port.")
    ] = None,
) -> None:
    """Work for the API processes that share a broker."""
    if not settings.broker:
        raise ValueError("--broker, or ANCESTRAL_BROKER, must say where jobs come from")
    if device != "cpu":
        raise ValueError(f"--device {device}: only cpu is supported by this build")
    from ancestral.api.server import set_up_logs
    from ancestral.engine.process import work

    set_up_logs(settings)
    work(settings, drain_seconds=drain, metrics_port=metrics_port)
