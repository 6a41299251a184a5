"""The application: routes, middleware, and in one process with the memory broker its worker."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import RedirectResponse
from fastapi.staticfiles import StaticFiles
from prometheus_client import CollectorRegistry
from starlette.responses import Response

from ancestral import __version__
from ancestral.api import embed, health, jobs, log_prob, models, problems, sample, stream
from ancestral.api.catalogue import Catalogue
from ancestral.api.health import StepWatch
from ancestral.api.middleware import BodyLimit, RequestId
from ancestral.api.schemas import EmbedBody, LogProbBody
from ancestral.api.services import ApiMetrics, Services
from ancestral.broker import MemoryQueue
from ancestral.engine.limits import Limits
from ancestral.engine.metrics import WorkerMetrics
from ancestral.engine.residents import Loader, package_loader
from ancestral.engine.worker import Worker
from ancestral.settings import Settings

logger = logging.getLogger("ancestral.api")
PAGE = Path(__file__).parent / "static"

DESCRIPTION = """\
Exact log-likelihoods and streamed samples of autoregressive models of images, audio and other
sequences. Errors are RFC 9457 problem documents. `WS /stream` (subprotocol `ancestral.v1`) streams
samples as binary frames while they are drawn.
"""


def create_app(settings: Settings | None = None, loader: Loader | None = None) -> FastAPI:
    """An app with the memory broker and one worker of its own, which its lifespan runs.

    `loader` gives the model of NAME/VERSION; the default reads the store of the settings.
    """
    settings = settings or Settings.from_env()
    registry = CollectorRegistry()
    queue = MemoryQueue(
        depth=settings.queue_depth,
        ttl=settings.job_ttl_seconds,
        held_bytes=settings.broker_bytes,
    )
    services = Services(settings, queue, Catalogue(settings.models), registry, ApiMetrics(registry))
    services.wanted.update(services.catalogue.labels())
    limits = Limits(slots=settings.slots, slot_bytes=settings.slot_memory_bytes)
    worker = Worker(
        queue,
        loader or package_loader(settings.models),
        WorkerMetrics(registry),
        limits,
        preload=sorted(services.wanted),
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        worker.start()
        try:
            yield
        finally:
            services.draining = True
            worker.stop()

    app = FastAPI(
        title="Ancestral",
        version=__version__,
        description=DESCRIPTION,
        license_info={"name": "Apache-2.0"},
        lifespan=lifespan,
        responses={500: {"description": "the server's own fault"}},
    )
    app.state.services = services
    app.state.watch = StepWatch()
    problems.install(app)
    for part in (log_prob, embed, sample, jobs, models, health, stream):
        app.include_router(part.router)
    _mount_page(app, PAGE)
    _describe_bodies(app)
    app.add_middleware(BodyLimit, limit=settings.max_body_bytes)
    app.add_middleware(RequestId)
    return app


def _describe_bodies(app: FastAPI) -> None:
    """Add to the OpenAPI document the schemas of a body that FastAPI does not read itself."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = plain()
            for model in (LogProbBody, EmbedBody):
                body = model.model_json_schema(ref_template="#/components/schemas/{model}")
                document["components"]["schemas"] |= body.pop("$defs") | {model.__name__: body}
        return plain()

    app.openapi = openapi  # type: ignore[method-assign]


def _mount_page(app: FastAPI, folder: Path) -> None:
    """The page at `/`, after every route; the API's documentation where there is no page."""
    if (folder / "index.html").is_file():
        app.mount("/", StaticFiles(directory=folder, html=True), name="page")
        return
    answer: Callable[[], Response] = lambda: RedirectResponse("/docs")  # noqa: E731
    app.add_api_route("/", answer, include_in_schema=False)
