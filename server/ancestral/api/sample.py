"""`POST /sample` and `PUT /sample/{id}`: draw items, in one answer or as they are drawn."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from ancestral.api.accept import preferred
from ancestral.api.answers import SampleAnswer
from ancestral.api.events import cursor_of, events
from ancestral.api.following import (
    WAIT_SECONDS,
    ended_with_client,
    follow,
    raise_if_failed,
    while_connected,
)
from ancestral.api.results import (
    JSON,
    MIDI,
    NPY,
    PCM,
    PNG,
    SSE,
    TEXT,
    WAV,
    assemble,
    content_type,
    encoded,
    offered,
    require_one,
    sound_header,
    to_pcm,
)
from ancestral.api.routes import EVENT, PROBLEMS, accepted, asynchronous
from ancestral.api.schemas import SampleBody
from ancestral.api.services import Services, services_of
from ancestral.broker import Entry, Job, Queue
from ancestral.store import Manifest

router = APIRouter(tags=["sampling"])
Identity = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="made by the client")]
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "model": SampleAnswer,
        "content": {
            **dict.fromkeys((PNG, WAV, PCM, MIDI, NPY, TEXT), _BINARY),
            SSE: EVENT,
        },
    },
    202: {"description": "`Prefer: respond-async`: see Location"},
    **PROBLEMS,
}


@router.post(
    "/sample",
    summary="Draw samples",
    description="The Accept header chooses JSON, PNG (a grid for several), WAV or raw PCM that "
    "play while they are drawn, NPY, or server-sent events. A client that hangs up ends the job.",
    responses=_ANSWERS,
)
async def sample(body: SampleBody, request: Request) -> Response:
    services = services_of(request)
    job, manifest = await services.sample_job(body)
    kind = _kind(request, manifest, body.count)
    await services.submit(job)
    if asynchronous(request):
        return accepted(job.id)
    return await deliver(request, services, job, manifest, kind, keep=False)


@router.put(
    "/sample/{id}",
    summary="Draw samples under an id",
    description="Idempotent: repeated, it attaches to the same job, which goes on without readers.",
    responses=_ANSWERS,
)
async def sample_as(id: Identity, body: SampleBody, request: Request) -> Response:
    services = services_of(request)
    digest = hashlib.sha256(body.model_dump_json().encode()).hexdigest()
    job, manifest = await services.sample_job(body, id, digest)
    kind = _kind(request, manifest, body.count)
    if not await services.submit(job):
        job = (await services.job(id)).job
    if asynchronous(request):
        return accepted(id)
    return await deliver(request, services, job, manifest, kind, keep=True)


def _kind(request: Request, manifest: Manifest, count: int) -> str:
    kind = preferred(request.headers.get("accept"), offered(manifest))
    require_one(count, kind)
    if kind == SSE:
        cursor_of(request.headers.get("last-event-id", ""))
    return kind


async def deliver(
    request: Request, services: Services, job: Job, manifest: Manifest, kind: str, *, keep: bool
) -> Response:
    """A job's samples as `kind`; unless `keep`, a client that hangs up ends the job."""
    queue = services.queue
    if kind == SSE:
        after = request.headers.get("last-event-id", "")
        stream = _guarded(services, job.id, events(queue, job.id, after), keep)
        return StreamingResponse(stream, media_type=SSE, headers={"Cache-Control": "no-store"})
    if kind in (WAV, PCM):
        with ended_with_client(services.cancel_soon, job.id, keep=keep):
            first = await while_connected(request, _first(queue, job.id))
        sound = _sound(queue, job.id, first, manifest, kind)
        return StreamingResponse(
            _guarded(services, job.id, sound, keep),
            headers=_headers(job, first) | {"Content-Type": content_type(kind, manifest)},
        )
    entries = await services.outcome(request, job, keep=keep)
    sampled = await asyncio.to_thread(assemble, job.id, entries, manifest)
    headers = _headers(job, entries[0])
    if kind == JSON:
        return JSONResponse(await asyncio.to_thread(sampled.to_json), headers=headers)
    body = await asyncio.to_thread(encoded, sampled, manifest, kind)
    return Response(body, media_type=content_type(kind, manifest), headers=headers)


def _headers(job: Job, first: Entry) -> dict[str, str]:
    return {
        "X-Ancestral-Job": job.id,
        "X-Ancestral-Seed": str(first.data["seed"]),
        "X-Ancestral-Fingerprint": str(first.data["fingerprint"]),
    }


async def _first(queue: Queue, job: str) -> Entry:
    """The job's first entry, once a worker has started it. Raises a problem where it failed."""
    while True:
        entries = await queue.read(job, count=1, wait=WAIT_SECONDS)
        if entries:
            raise_if_failed(entries[0])
            return entries[0]


async def _sound(
    queue: Queue, job: str, first: Entry, manifest: Manifest, kind: str
) -> AsyncIterator[bytes]:
    """The header with the true length, then samples as they are drawn.

    A job that fails on the way ends the body short of the length that the header promises.
    """
    if kind == WAV:
        yield sound_header(manifest, first.data)
    async for entry in follow(queue, job, first.id):
        if entry.event == "output":
            yield to_pcm(entry.payload, manifest, first.data["dtype"])


async def _guarded(
    services: Services, job: str, parts: AsyncIterator[bytes], keep: bool
) -> AsyncIterator[bytes]:
    ended = False
    try:
        async for part in parts:
            yield part
        ended = True
    finally:
        if not ended and not keep:
            services.abandoned(job)
