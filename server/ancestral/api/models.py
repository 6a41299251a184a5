"""`/models`: what is in the store, what is loaded, and how to change that."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse

from ancestral.api.answers import ModelAnswer, ModelList
from ancestral.api.catalogue import describe, loaders
from ancestral.api.control import obeyed
from ancestral.api.problems import Problem
from ancestral.api.routes import PROBLEMS
from ancestral.api.services import Services, services_of
from ancestral.api.visits import require_admin
from ancestral.store import Manifest

router = APIRouter(prefix="/models", tags=["models"])
Version = Annotated[int | None, Query(ge=1, description="the default version where absent")]
Shown = Annotated[int | None, Query(ge=1, description="where absent, the one that a request gets")]
_FEW: dict[int | str, dict[str, Any]] = {status: PROBLEMS[status] for status in (404, 422)}
_CONTROL = _FEW | {status: PROBLEMS[status] for status in (401, 403, 503)}


@router.get("", summary="All models of the store", responses={200: {"model": ModelList}})
async def models(request: Request) -> JSONResponse:
    services = services_of(request)
    found = []
    for entry in services.catalogue.entries():
        try:
            manifest = await services.meant(entry.name)
        except Problem:
            continue  # a broken package is told of by its own address, and by readiness
        found.append(await _described(services, manifest))
    return JSONResponse({"models": found})


@router.get("/{name}", summary="One model", responses={200: {"model": ModelAnswer}, **_FEW})
async def model(name: str, request: Request, version: Shown = None) -> JSONResponse:
    services = services_of(request)
    manifest = await services.meant(name, version)
    document = manifest.model_dump(mode="json", exclude_none=True, exclude={"reference"})
    scores = [] if manifest.reference is None else list(manifest.reference.scores)
    described = await _described(services, manifest)
    return JSONResponse(described | {"manifest": document, "reference_scores": scores})


@router.post("/{name}/load", summary="Load", responses={200: {"model": ModelAnswer}, **_CONTROL})
async def load(name: str, request: Request, version: Version = None) -> JSONResponse:
    return await _control(services_of(request), "load", name, version)


@router.post(
    "/{name}/unload",
    summary="Unload",
    description="On every worker that holds it. Jobs that run or wait are finished first; new ones "
    "are refused, or go to another version where they named none.",
    responses={200: {"model": ModelAnswer}, **_CONTROL},
)
async def unload(name: str, request: Request, version: Shown = None) -> JSONResponse:
    return await _control(services_of(request), "unload", name, version)


async def _control(
    services: Services, action: Literal["load", "unload"], name: str, version: int | None
) -> JSONResponse:
    require_admin()
    if action == "load":
        manifest = services.catalogue.manifest(name, version)
    else:
        manifest = await services.meant(name, version)
    label = manifest.label
    workers = await services.queue.workers()
    if action == "load":
        asked = loaders(workers, manifest.name)
        if not asked:
            detail = f"no worker serves {manifest.name}"
            raise Problem(503, "Service Unavailable", detail, [("model", detail)])
    else:
        asked = [w.worker for w in workers if label in w.models]
    await asyncio.gather(*[obeyed(services.queue, worker, action, label) for worker in asked])
    if action == "unload":  # what was submitted in the moment in which the last worker left
        detail = f"{label} was unloaded; ask again"
        why = {"status": 503, "title": "Service Unavailable", "detail": detail}
        await services.queue.refuse(label, why)
    return JSONResponse(await _described(services, manifest))


async def _described(services: Services, manifest: Manifest) -> dict[str, Any]:
    versions: tuple[int, ...] = ()
    for entry in services.catalogue.entries():
        if entry.name == manifest.name:
            versions = entry.versions
    card = services.catalogue.card(manifest)
    return describe(manifest, card, versions, await services.queue.workers())
