"""The application: routes, middleware, and its worker unless workers are processes of their own."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import RedirectResponse
from fastapi.staticfiles import StaticFiles
from prometheus_client import CollectorRegistry
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ancestral import __version__
from ancestral.access import KeyRing, Ledger, MemoryLedger
from ancestral.api import (
    batches,
    embed,
    health,
    inference,
    jobs,
    log_prob,
    models,
    problems,
    sample,
    stream,
    tokens,
    workers,
)
from ancestral.api.catalogue import Catalogue
from ancestral.api.guard import Guard
from ancestral.api.health import StepWatch
from ancestral.api.middleware import BodyLimit, HandOver, RequestId
from ancestral.api.page import Page
from ancestral.api.schemas import EmbedBody, LogProbBody
from ancestral.api.services import ApiMetrics, Services
from ancestral.api.tensors import InferenceRequest
from ancestral.broker import MemoryQueue, Queue
from ancestral.broker.connect import api_queue
from ancestral.engine.process import new_worker
from ancestral.engine.residents import Loader
from ancestral.engine.worker import Worker
from ancestral.settings import Settings
from ancestral.tracing import of_requests

logger = logging.getLogger("ancestral.api")
PAGE = Path(__file__).parent / "static"

ASKED = (  # headers that pages of other origins may send
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "Last-Event-ID",
    "Prefer",
    "X-Request-Id",
)
TOLD = (  # and those that they may read
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "X-Ancestral-Fingerprint",
    "X-Ancestral-Job",
    "X-Ancestral-Seed",
    "X-Request-Id",
)
DESCRIPTION = """\
Exact log-likelihoods and streamed samples of autoregressive models of images, audio and other
sequences. Errors are RFC 9457 problem documents. `WS /stream` (subprotocol `ancestral.v1`) streams
samples as binary frames while they are drawn.
"""


def create_app(settings: Settings | None = None, loader: Loader | None = None) -> FastAPI:
    """An app with the broker of its settings.

    With the one in memory its lifespan runs a worker, for which `loader` gives the model of
    NAME/VERSION; the default reads the store of the settings.
    """
    settings = settings or Settings.from_env()
    registry = CollectorRegistry()
    worker: Worker | None = None
    if settings.broker:
        queue: Queue = api_queue(settings)
    else:
        queue = memory = MemoryQueue(
            depth=settings.queue_depth,
            ttl=settings.job_ttl_seconds,
            held_bytes=settings.broker_bytes,
        )
        worker = new_worker(settings, memory, registry, loader)
    catalogue = Catalogue(settings.models)
    wanted = frozenset(name.partition("/")[0] for name in settings.wanted)
    services = Services(settings, queue, catalogue, registry, ApiMetrics(registry), wanted)

    ring = None if settings.keys is None else KeyRing(settings.keys)
    ledger = _ledger(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if worker is not None:
            worker.start()
        try:
            yield
        finally:
            services.draining = True
            if worker is not None:
                worker.stop()
            await services.close()
            await ledger.close()

    app = FastAPI(
        title="Ancestral",
        version=__version__,
        description=DESCRIPTION,
        license_info={"name": "Apache-2.0"},
        lifespan=lifespan,
        telemetry=of_requests(settings),
        responses={500: {"description": "the server's own fault"}},
    )
    app.state.services = services
    app.state.worker = worker
    app.state.watch = StepWatch()
    problems.install(app)
    parts = (log_prob, embed, sample, batches, jobs, models, workers, tokens, health, inference)
    for part in (*parts, stream):
        app.include_router(part.router)
    if (settings.guide / "index.html").is_file():
        guide = StaticFiles(directory=settings.guide, html=True)
        app.mount("/docs/guide", guide, name="guide")
    _mount_page(app, PAGE)
    _describe_bodies(app)
    app.add_middleware(BodyLimit, limit=settings.max_body_bytes)
    app.add_middleware(HandOver)
    app.add_middleware(Guard, settings=settings, ring=ring, ledger=ledger, page=_page_paths(PAGE))
    if settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.origins,
            allow_methods=("GET", "POST", "PUT", "DELETE"),
            allow_headers=ASKED,
            expose_headers=TOLD,
        )
    app.add_middleware(RequestId)
    return app


def _ledger(settings: Settings) -> Ledger:
    """Where allowances are kept: with the broker, so that all API processes share them."""
    if settings.keys is None or not settings.broker:
        return MemoryLedger()
    from ancestral.access.redis_ledger import RedisLedger

    return RedisLedger(settings.broker)


def _page_paths(folder: Path) -> set[str]:
    """What a browser loads before anybody could type a key."""
    found = {"/"}
    for root, _, names in os.walk(folder, followlinks=True):
        found |= {f"/{(Path(root) / name).relative_to(folder).as_posix()}" for name in names}
    return found


def _describe_bodies(app: FastAPI) -> None:
    """Add to the OpenAPI document the schemas of a body that FastAPI does not read itself."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = plain()
            for model in (LogProbBody, EmbedBody, InferenceRequest):
                body = model.model_json_schema(ref_template="#/components/schemas/{model}")
                document["components"]["schemas"] |= body.pop("$defs") | {model.__name__: body}
            document["components"]["securitySchemes"] = {
                "key": {"type": "http", "scheme": "bearer"}
            }
            document["security"] = [{"key": []}, {}]  # {}: a server without keys
        return plain()

    app.openapi = openapi  # type: ignore[method-assign]


def _mount_page(app: FastAPI, folder: Path) -> None:
    """The page for what no route knows; the API's documentation at `/` where there is no page."""
    if (folder / "index.html").is_file():
        # /client is a link to the sources of the JavaScript client, which the page is built on
        files = Page(directory=folder, html=True, follow_symlink=True)
        nothing = app.router.default

        async def page(scope: Scope, receive: Receive, send: Send) -> None:
            await (files if scope["type"] == "http" else nothing)(scope, receive, send)

        app.router.default = page  # and no mount, which would hide that a route takes other methods
        return
    answer: Callable[[], Response] = lambda: RedirectResponse("/docs")  # noqa: E731
    app.add_api_route("/", answer, include_in_schema=False)
