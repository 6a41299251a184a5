"""`POST /log_prob`: exact log-likelihoods of the client's items."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from ancestral.api.accept import preferred
from ancestral.api.answers import LogProbAnswer
from ancestral.api.asked import FILE, asked
from ancestral.api.inputs import Ask, read_ask, read_conditions, read_item, rows_of
from ancestral.api.problems import Problem
from ancestral.api.results import JSON, PNG, item_maps, scored
from ancestral.api.routes import PROBLEMS, accepted, asynchronous
from ancestral.api.schemas import ItemOptions, LogProbBody, LogProbOptions
from ancestral.api.services import Services, new_id, services_of
from ancestral.broker import Job
from ancestral.engine.request import ScoreRequest, check_condition, check_order, pack_items
from ancestral.engine.values import dtype_of
from ancestral.media import heat_map_png
from ancestral.store import Manifest

router = APIRouter(tags=["scoring"])


@router.post(
    "/log_prob",
    summary="Score items",
    description="Exact log-likelihoods in nats, bits per dimension, the percentile among held-out "
    "items, and maps of surprise. Items come as JSON, as multipart files, or as one raw body with "
    "its options in the query string. `Accept: image/png` gives one item's heat map.",
    openapi_extra=asked(LogProbBody, LogProbOptions),
    responses={
        200: {"model": LogProbAnswer, "content": {PNG: FILE}},
        202: {"description": "`Prefer: respond-async`: see Location"},
        **PROBLEMS,
    },
)
async def log_prob(request: Request) -> Response:
    services = services_of(request)
    ask = await read_ask(request, LogProbBody, LogProbOptions)
    manifest = await services.served(ask.options.model)
    kind = preferred(request.headers.get("accept"), [JSON, PNG])
    job = await score_job(services, ask, manifest, kind)
    await services.submit(job)
    if asynchronous(request):
        return accepted(job.id)
    entries = await services.outcome(request, job)
    if kind == PNG:
        maps = item_maps(job, entries[-1], manifest)
        return Response(await asyncio.to_thread(heat_map_png, maps[0]), media_type=PNG)
    return JSONResponse(await asyncio.to_thread(scored, job, entries[-1], manifest))


async def score_job(
    services: Services, ask: Ask[LogProbOptions], manifest: Manifest, kind: str
) -> Job:
    """A checked scoring job."""
    options = ask.options
    if kind == PNG and len(ask.items) > 1:
        raise Problem.of_field("inputs", f"{PNG} shows one item, not {len(ask.items)}")
    check_order(manifest, options.order)
    items, context, condition = await checked_items(
        services, ask, manifest, marginal=options.marginal
    )
    maps = kind == PNG or bool({"per_dim", "heat_map"} & set(options.returned))
    shapes, payload = pack_items(items, manifest.data.levels)
    request = ScoreRequest(
        shapes=shapes,
        dtype=dtype_of(manifest.data.levels),
        condition=condition,
        marginal=options.marginal,
        order=options.order,
        per_dim=maps,
        context={"return": options.returned, "items": context},
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
        output_bytes=8 * sum(item.size for item in items) if maps else 0,
        sites=sum(item.size for item in items) // manifest.data.spec.dims_per_site,
    )


async def checked_items(
    services: Services, ask: Ask[Any], manifest: Manifest, *, marginal: bool = False
) -> tuple[list[Any], list[dict[str, Any]], dict[str, Any] | None]:
    """Items that could be read, what is to be said of all of them, and the condition of the former.

    One bad item of several fails alone; all bad is a problem, as is a bad condition.
    """
    options: ItemOptions = ask.options
    limit = services.settings.max_items
    if len(ask.items) > limit:
        raise Problem.of_field("inputs", f"{limit} items at most, not {len(ask.items)}")
    most = services.settings.max_item_sites
    condition, steps = await asyncio.to_thread(
        read_conditions, manifest, options.condition, len(ask.items), fit=options.fit, most=most
    )
    check_condition(manifest, condition, len(ask.items), optional=marginal)
    items, context, problems = await asyncio.to_thread(_read_items, ask, manifest, most, steps)
    if not items:
        raise problems[0] if len(problems) == 1 else _all_bad(problems)
    kept = [index for index, entry in enumerate(context) if "error" not in entry]
    condition = rows_of(manifest, condition, len(ask.items), kept)
    if manifest.data.length is not None:
        for item in items:
            check_condition(manifest, condition, len(items), sites=len(item), optional=marginal)
    return items, context, condition


def _read_items(
    ask: Ask[Any], manifest: Manifest, most: int, taken: list[list[str]]
) -> tuple[list[Any], list[Any], list[Problem]]:
    items: list[Any] = []
    context: list[dict[str, Any]] = []
    problems: list[Problem] = []
    for raw, before in zip(ask.items, taken, strict=True):
        try:
            item, steps = read_item(raw, manifest, ask.options.fit, most)
        except Problem as problem:
            problems.append(problem)
            context.append({"error": problem.document()})
        else:
            items.append(item)
            context.append({"fit": before + steps})
    return items, context, problems


def _all_bad(problems: list[Problem]) -> Problem:
    errors = [error for problem in problems for error in problem.errors]
    return Problem(422, problems[0].title, f"none of {len(problems)} items can be read", errors)
