"""`POST /embed`: representations of the client's items, for a linear probe."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from ancestral.api.accept import preferred
from ancestral.api.answers import EmbedAnswer
from ancestral.api.asked import FILE, asked
from ancestral.api.inputs import Ask, read_ask
from ancestral.api.log_prob import checked_items
from ancestral.api.results import JSON, NPY, embedded, embeddings
from ancestral.api.routes import PROBLEMS, accepted, asynchronous
from ancestral.api.schemas import EmbedBody, EmbedOptions
from ancestral.api.services import Services, new_id, services_of
from ancestral.broker import Job
from ancestral.engine.request import ScoreRequest, pack_items
from ancestral.engine.values import dtype_of
from ancestral.media import encode_npy
from ancestral.store import Manifest

router = APIRouter(tags=["representations"])


@router.post(
    "/embed",
    summary="Represent items by a layer's hidden state",
    description="The hidden state after a layer (by default the middle one) of each item, averaged "
    "over its positions: what a linear probe reads. Items come as for `/log_prob`. "
    "`Accept: application/x-npy` gives float32 [items, width].",
    openapi_extra=asked(EmbedBody, EmbedOptions),
    responses={
        200: {"model": EmbedAnswer, "content": {NPY: FILE}},
        202: {"description": "`Prefer: respond-async`: see Location"},
        **PROBLEMS,
    },
)
async def embed(request: Request) -> Response:
    services = services_of(request)
    ask = await read_ask(request, EmbedBody, EmbedOptions)
    manifest = await services.served(ask.options.model)
    kind = preferred(request.headers.get("accept"), [JSON, NPY])
    job = await embed_job(services, ask, manifest)
    await services.submit(job)
    if asynchronous(request):
        return accepted(job.id)
    entries = await services.outcome(request, job)
    if kind == NPY:
        return Response(encode_npy(embeddings(job, entries[-1])), media_type=NPY)
    return JSONResponse(await asyncio.to_thread(embedded, job, entries[-1]))


async def embed_job(services: Services, ask: Ask[EmbedOptions], manifest: Manifest) -> Job:
    """A checked job; whether the model has the layer, its worker says."""
    options = ask.options
    items, context, condition = await checked_items(services, ask, manifest)
    shapes, payload = pack_items(items, manifest.data.levels)
    request = ScoreRequest(
        shapes=shapes,
        dtype=dtype_of(manifest.data.levels),
        condition=condition,
        embed=True,
        layer=options.layer,
        context={"items": context},
    )
    return Job(
        id=new_id(),
        model=manifest.label,
        lane="score",
        request=request.to_json(),
        payload=payload,
        items=len(items),
        priority=options.priority,
        timeout=options.timeout_seconds,
        output_bytes=8 * 4096 * len(items),
        sites=sum(item.size for item in items) // manifest.data.spec.dims_per_site,
    )
