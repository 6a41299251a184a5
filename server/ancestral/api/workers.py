"""`/workers`: who works, on how many slots, and what waits for them."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from ancestral.api.answers import WorkerList
from ancestral.api.routes import PROBLEMS
from ancestral.api.services import services_of

router = APIRouter(tags=["models"])


@router.get(
    "/workers",
    summary="Workers and queues",
    description="Every worker that lives, with the models that it holds, and how many jobs wait.",
    responses={200: {"model": WorkerList}, 503: PROBLEMS[503]},
)
async def workers(request: Request) -> JSONResponse:
    queue = services_of(request).queue
    found = await queue.workers()
    labels = sorted({label for worker in found for label in worker.models})
    told = [
        {
            "worker": worker.worker,
            "steps": worker.steps,
            "slots_total": sum(model.slots_total for model in worker.models.values()),
            "slots_in_use": sum(model.slots_in_use for model in worker.models.values()),
            "models": {label: asdict(model) for label, model in worker.models.items()},
        }
        for worker in sorted(found, key=lambda worker: worker.worker)
    ]
    waiting = {label: await queue.waiting(label) for label in labels}
    return JSONResponse({"workers": told, "waiting": waiting})
