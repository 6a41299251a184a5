"""Many requests in one: JSON lines in, JSON lines out, each as it ends.

The lines are those of the batch files that other services read: `custom_id`, `url` and `body`, the
body as it would be posted there. Answers are `custom_id` and `response` with `status_code` and
`body`. Work waits for room in the queue, behind what people wait for (priority 3 unless the body
says otherwise).
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Request
from fastapi.responses import StreamingResponse
from pydantic import Field

from ancestral.api.embed import embed_job
from ancestral.api.following import PATIENCE_SECONDS, everything
from ancestral.api.inputs import Ask, items_of
from ancestral.api.log_prob import score_job
from ancestral.api.problems import Problem, of_error
from ancestral.api.results import JSON, assemble, embedded, scored
from ancestral.api.routes import PROBLEMS
from ancestral.api.schemas import Body, EmbedBody, LogProbBody, SampleBody
from ancestral.api.services import Services, services_of
from ancestral.api.visits import current_visit
from ancestral.broker import BrokerUnavailable, Job, JobUnknown
from ancestral.store import Manifest

router = APIRouter(tags=["batches"])
JSONL = "application/jsonl"
IN_FLIGHT = 128  # lines of one batch that are being worked on
LOWEST = 3  # priority
NAME = 256  # characters of a custom_id
AGAIN_SECONDS = 1.0  # to wait for room where a refusal does not say


class BatchLine(Body):
    """One request of a batch."""

    custom_id: str = Field(min_length=1, max_length=NAME)
    method: Literal["POST"] = "POST"
    url: Literal["/log_prob", "/embed", "/sample"]
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """A line as it came; `number` counts from 1."""

    number: int
    text: str | bytes


Answer = dict[str, Any]


async def answers(
    services: Services, lines: Iterable[Line], key: str = ""
) -> AsyncIterator[Answer]:
    """The answer to every line, in the order in which they end.

    With a key, a line that was sent before under it is the same job, finished or not, for as long
    as the broker keeps it; without one, jobs end when nobody reads on.
    """
    waiting = iter(lines)
    running: set[asyncio.Task[Answer]] = set()
    try:
        while True:
            while len(running) < IN_FLIGHT and (line := next(waiting, None)) is not None:
                running.add(asyncio.ensure_future(answer(services, line, key)))
            if not running:
                return
            ended, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                yield task.result()
    finally:
        for task in running:
            task.cancel()


def identity_of(document: object, number: int) -> str:
    """What the answer to a line is called; its number where it has no name of its own."""
    name = document.get("custom_id") if isinstance(document, dict) else None
    return f"line-{number}" if name is None else str(name)[:NAME]


async def answer(services: Services, line: Line, key: str = "") -> Answer:
    """What one line comes to; it never raises for a bad one."""
    identity = identity_of(None, line.number)
    try:
        document = json.loads(line.text)
        identity = identity_of(document, line.number)
        if isinstance(document, dict):
            document.setdefault("custom_id", identity)
        read = BatchLine.model_validate(document)
        response = {"status_code": 200, "body": await _result(services, read, key)}
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        problem = Problem.of_field("line", f"is not JSON: {error}", 400)
        response = {"status_code": 400, "body": problem.document()}
    except Exception as error:
        problem = of_error(error)
        response = {"status_code": problem.status, "body": problem.document()}
    return {"custom_id": identity, "response": response}


async def _result(services: Services, line: BatchLine, key: str) -> Mapping[str, Any]:
    body = {"priority": LOWEST, **line.body}
    digest = hashlib.sha256(json.dumps([line.url, body], sort_keys=True).encode()).hexdigest()
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            job, manifest = await _job(services, line.url, body)
            if key:
                told = f"{current_visit.get().owner}\n{key}\n{line.custom_id}\n{digest}"
                job = replace(job, id=hashlib.sha256(told.encode()).hexdigest()[:32], digest=digest)
            if not await services.submit(job):
                job = (await services.job(job.id)).job
            break
        except Problem as problem:  # no room now
            if "Retry-After" not in problem.headers or services.draining:
                raise
            await asyncio.sleep(min(AGAIN_SECONDS, float(problem.headers["Retry-After"])))
        except BrokerUnavailable:
            if time.monotonic() > end:
                raise
            await asyncio.sleep(AGAIN_SECONDS)
    try:
        entries = await everything(services.queue, job.id)
    except asyncio.CancelledError:
        if not key:
            services.cancel_soon(job.id)
        raise
    except JobUnknown:
        raise Problem(410, "Gone", "the result expired before it was read") from None
    if line.url == "/log_prob":
        return await asyncio.to_thread(scored, job, entries[-1], manifest)
    if line.url == "/embed":
        return await asyncio.to_thread(embedded, job, entries[-1])
    return await asyncio.to_thread(lambda: assemble(job.id, entries, manifest).to_json())


async def _job(services: Services, url: str, body: Mapping[str, Any]) -> tuple[Job, Manifest]:
    if url == "/sample":
        return await services.sample_job(SampleBody.model_validate(body))
    if url == "/embed":
        embed = EmbedBody.model_validate(body)
        manifest = await services.served(embed.model)
        return await embed_job(services, Ask(embed, items_of(embed)), manifest), manifest
    score = LogProbBody.model_validate(body)
    manifest = await services.served(score.model)
    return await score_job(services, Ask(score, items_of(score)), manifest, JSON), manifest


@router.post(
    "/batches",
    summary="Many requests in one",
    description="The body is JSON lines of `custom_id`, `url` (/log_prob, /embed or /sample) and "
    "`body`; so is the answer, a line for each as it ends. With the header `Idempotency-Key`, a "
    "batch that is sent again meets the jobs of the first time instead of repeating them.",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {JSONL: {"schema": {"type": "string", "format": "binary"}}},
        }
    },
    responses={
        200: {"content": {JSONL: {"schema": {"type": "string"}}}},
        413: PROBLEMS[413],
        503: PROBLEMS[503],
    },
    response_class=StreamingResponse,
)
async def batches(
    request: Request,
    idempotency_key: Annotated[str, Header(max_length=128)] = "",
) -> StreamingResponse:
    services = services_of(request)
    await services.queue.workers()  # raises where the broker is away
    body = io.BytesIO(await request.body())
    lines = (Line(number, text) for number, text in enumerate(body, 1) if text.strip())

    async def parts() -> AsyncIterator[bytes]:
        async for found in answers(services, lines, idempotency_key):
            yield json.dumps(found).encode() + b"\n"

    return StreamingResponse(parts(), media_type=JSONL)
