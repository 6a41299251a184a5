"""Liveness, readiness and `/metrics`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from ancestral.api.catalogue import missing
from ancestral.api.services import services_of
from ancestral.broker import BrokerUnavailable, WorkerReport

router = APIRouter(tags=["health"])
STALE_SECONDS = 30.0  # longer than any turn: a pass of one very long item may take seconds


class StepWatch:
    """Whether workers' step counters advance, by this process's own clock.

    A hung worker must not look healthy, and a saturated one, whose turns are long, not dead.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, tuple[int, float]] = {}

    def stuck(self, workers: list[WorkerReport]) -> list[str]:
        """Names of the workers whose counter has stood still for `STALE_SECONDS`."""
        now = self._clock()
        found = []
        for report in workers:
            steps, since = self._seen.get(report.worker, (-1, now))
            if report.steps != steps:
                self._seen[report.worker] = (report.steps, now)
            elif now - since > STALE_SECONDS:
                found.append(report.worker)
        return found


@router.get("/health/live", summary="The process answers")
async def live() -> dict[str, str]:
    return {"status": "live"}


@router.get(
    "/health/ready",
    summary="Every wanted model is loaded, and its worker advances",
    responses={503: {"description": "not ready; `reasons` says why"}},
)
async def ready(request: Request) -> JSONResponse:
    told = await _readiness(request)
    return JSONResponse(told, 503 if told["reasons"] else 200)


@router.get("/health/status", summary="What /health/ready says, always with status 200")
async def status(request: Request) -> dict[str, Any]:
    """For pages: a browser writes an answer of 503 into its console as an error."""
    return await _readiness(request)


async def _readiness(request: Request) -> dict[str, Any]:
    services = services_of(request)
    try:
        workers = await services.queue.workers()
    except BrokerUnavailable:
        return _told(["the broker does not answer"])
    reasons = [f"{name}: stands still" for name in request.app.state.watch.stuck(workers)]
    if not workers:
        reasons.append("there is no worker")
    if services.draining:
        reasons.append("draining")
    return _told(reasons + missing(workers, services.wanted))


def _told(reasons: list[str]) -> dict[str, Any]:
    return {"status": "not ready" if reasons else "ready", "reasons": reasons}


@router.get("/metrics", summary="Prometheus metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    services = services_of(request)
    with contextlib.suppress(BrokerUnavailable):  # our own figures can be had all the same
        for worker in await services.queue.workers():
            services.told.update(worker.models)
        for label in services.told:  # also where their last worker has gone
            waiting = await services.queue.waiting(label)
            services.metrics.waiting.labels(label).set(waiting)
            oldest = await services.queue.oldest(label)
            services.metrics.oldest.labels(label).set(oldest)
    return Response(generate_latest(services.registry), media_type=CONTENT_TYPE_LATEST)
