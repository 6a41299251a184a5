"""`ancestral serve`: the API and its workers in one process."""

from __future__ import annotations

from typing import Annotated

import typer

from ancestral.cli.output import Models
from ancestral.settings import Settings


def serve(
    models: Models = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    slots: Annotated[int | None, typer.Option(help="Running batch of one model.")] = None,
) -> None:
    """Serve the model packages of a folder over HTTP and WebSocket."""
    settings = Settings.from_env(models=models, host=host, port=port, slots=slots)
    from ancestral.api.server import serve as run

    run(settings)
