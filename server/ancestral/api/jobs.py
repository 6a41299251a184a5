"""`/jobs/{id}`: how a job stands, its result, its events, and its end."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from ancestral.api.accept import preferred
from ancestral.api.answers import EmbedAnswer, JobAnswer, LogProbAnswer, SampleAnswer
from ancestral.api.events import cursor_of, events
from ancestral.api.following import raise_if_failed
from ancestral.api.problems import Problem
from ancestral.api.results import SSE, offered, require_one, scored
from ancestral.api.routes import EVENT, PROBLEMS
from ancestral.api.sample import deliver
from ancestral.api.services import services_of
from ancestral.broker import Status

router = APIRouter(prefix="/jobs", tags=["jobs"])
_FEW: dict[int | str, dict[str, Any]] = {status: PROBLEMS[status] for status in (404, 409, 422)}


@router.get(
    "/{id}",
    summary="How a job stands, or its result",
    description="A finished job answers with what its request would have answered.",
    responses={200: {"model": JobAnswer | SampleAnswer | LogProbAnswer | EmbedAnswer}, **_FEW},
)
async def job(id: str, request: Request) -> Response:
    services = services_of(request)
    status = await services.job(id)
    if status.state != "done" or status.job.lane == "control":
        return JSONResponse(standing(status))
    manifest = services.catalogue.manifest(status.job.model)
    if status.job.lane == "score":
        assert status.last is not None
        answer = await asyncio.to_thread(scored, status.job, status.last, manifest)
        return JSONResponse(answer)
    kind = preferred(request.headers.get("accept"), [k for k in offered(manifest) if k != SSE])
    require_one(status.job.items, kind)
    return await deliver(request, services, status.job, manifest, kind, keep=True)


def standing(status: Status) -> dict[str, Any]:
    """A job's state as JSON, with the problem that it failed of."""
    answer = {
        "id": status.job.id,
        "model": status.job.model,
        "kind": status.job.lane,
        "state": status.state,
        "ahead": status.ahead,
        "progress": dict(status.progress),
        "submitted": status.job.submitted,
        "cancel_requested": status.cancel_requested,
        "paused": status.paused,
        "attempt": status.attempt,
    }
    if status.error is not None:
        answer["last_error"] = status.error
    if status.state == "failed" and status.last is not None:
        answer["error"] = Problem.of_event(status.last.data).document()
    return answer


@router.get(
    "/{id}/result",
    summary="A job's result",
    description="What its request would have answered, for as long as the job is kept; 409 while "
    "it runs, and the problem that it failed of.",
    responses={200: {"model": SampleAnswer | LogProbAnswer | EmbedAnswer}, **_FEW},
)
async def job_result(id: str, request: Request) -> Response:
    status = await services_of(request).job(id)
    if status.last is None:
        raise Problem(409, "Conflict", f"the job is {status.state}; it has no result yet")
    raise_if_failed(status.last)
    return await job(id, request)


@router.get(
    "/{id}/events",
    summary="A job's events",
    description="Server-sent events: started, output, progress, then done, failed or canceled. "
    "Last-Event-ID resumes.",
    responses={200: {"content": {SSE: EVENT}}, **_FEW},
    response_class=StreamingResponse,
)
async def job_events(
    id: str, request: Request, last_event_id: Annotated[str, Header()] = ""
) -> StreamingResponse:
    services = services_of(request)
    await services.job(id)
    stream = events(services.queue, id, cursor_of(last_event_id))
    return StreamingResponse(stream, media_type=SSE, headers={"Cache-Control": "no-store"})


@router.delete(
    "/{id}",
    summary="Cancel a job",
    description="Its slots are free within one chunk; what was published stays readable.",
    responses={200: {"model": JobAnswer}, **_FEW},
)
async def cancel_job(id: str, request: Request) -> JSONResponse:
    services = services_of(request)
    await services.job(id)
    await services.queue.cancel(id)
    return JSONResponse(standing(await services.job(id)))


@router.post(
    "/{id}/pause",
    summary="Pause a sampling job",
    description="Its slots are free within one chunk. It goes on by itself when the time is over "
    "for which finished jobs are kept.",
    responses={200: {"model": JobAnswer}, **_FEW},
)
async def pause_job(id: str, request: Request) -> JSONResponse:
    return await _pause(id, request, True)


@router.post(
    "/{id}/unpause",
    summary="Let a paused job go on",
    description="At the site where it was, with the same noise.",
    responses={200: {"model": JobAnswer}, **_FEW},
)
async def unpause_job(id: str, request: Request) -> JSONResponse:
    return await _pause(id, request, False)


async def _pause(id: str, request: Request, on: bool) -> JSONResponse:
    services = services_of(request)
    await services.pause(id, on)
    return JSONResponse(standing(await services.job(id)))
