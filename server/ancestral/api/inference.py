"""`/v2`: the Open Inference Protocol for scoring, for Triton's and KServe's clients.

The input `x` holds the items, of numbers [N, …] or of BYTES [N]: texts where the model is of text,
else files. Further inputs are conditions. The outputs `log_prob` and `bits_per_dim` are [N],
`per_dim` is shaped like the items; all are FP64.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from ancestral import __version__
from ancestral.api.catalogue import report_of
from ancestral.api.health import ready
from ancestral.api.inputs import Ask, Raw
from ancestral.api.log_prob import score_job
from ancestral.api.problems import Problem, of_validation
from ancestral.api.results import JSON, item_maps, scored
from ancestral.api.schemas import LogProbOptions
from ancestral.api.services import services_of
from ancestral.api.tensors import (
    HEADER_LENGTH,
    Array,
    InferenceRequest,
    Tensor,
    encode_answer,
    read_request,
)
from ancestral.broker import Entry, Job
from ancestral.media import Text, encode_npy
from ancestral.store import Manifest

router = APIRouter(prefix="/v2", tags=["open inference protocol"])
NPY, TEXT = "application/x-npy", "text/plain"
ITEMS = "x"
OPTIONS = ("marginal", "order", "fit", "priority")  # parameters of a request that we read
Version = Annotated[int, Path(ge=1, lt=2**31)]
Name = Annotated[str, Path(max_length=128)]
_ERROR: dict[str, Any] = {
    "content": {JSON: {"schema": {"type": "object", "properties": {"error": {"type": "string"}}}}}
}
_FEW: dict[int | str, dict[str, Any]] = {
    401: {"description": "a key is needed", **_ERROR},
    404: {"description": "no such model", **_ERROR},
    422: {"description": "something does not fit", **_ERROR},
}
_INFER: dict[int | str, dict[str, Any]] = {
    **_FEW,
    400: {"description": "the body does not parse", **_ERROR},
    409: {"description": "the model is not loaded", **_ERROR},
    413: {"description": "the body is too large", **_ERROR},
    415: {"description": "the body is compressed", **_ERROR},
    429: {"description": "the queue is full, or an allowance is spent", **_ERROR},
    503: {"description": "draining, or the model cannot be served", **_ERROR},
    504: {"description": "the deadline passed before a worker was free", **_ERROR},
}
_BODY = {
    "required": True,
    "content": {
        JSON: {"schema": {"$ref": "#/components/schemas/InferenceRequest"}},
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
    },
}


@router.get("", summary="Metadata of the server")
async def server() -> dict[str, Any]:
    return {"name": "ancestral", "version": __version__, "extensions": ["binary_tensor_data"]}


@router.get("/health/live", summary="The process answers")
async def live() -> dict[str, bool]:
    return {"live": True}


router.get(
    "/health/ready",
    summary="As /health/ready",
    responses={503: {"description": "not ready"}},
)(ready)


@router.get("/models/{name}", summary="Inputs and outputs of a model", responses=_FEW)
async def metadata(name: Name, request: Request) -> JSONResponse:
    return _described(request, name, None)


@router.get("/models/{name}/versions/{version}", summary="Of a version", responses=_FEW)
async def metadata_of(name: Name, version: Version, request: Request) -> JSONResponse:
    return _described(request, name, version)


@router.get(
    "/models/{name}/ready",
    summary="Whether a worker has it ready",
    responses={**_FEW, 503: {"description": "not ready", **_ERROR}},
)
async def model_ready(name: Name, request: Request) -> JSONResponse:
    return await _readiness(request, name, None)


@router.get(
    "/models/{name}/versions/{version}/ready",
    summary="Whether a worker has this version ready",
    responses={**_FEW, 503: {"description": "not ready", **_ERROR}},
)
async def version_ready(name: Name, version: Version, request: Request) -> JSONResponse:
    return await _readiness(request, name, version)


@router.post(
    "/models/{name}/infer",
    summary="Score items",
    openapi_extra={"requestBody": _BODY},
    responses=_INFER,
)
async def infer(name: Name, request: Request) -> Response:
    return await _infer(request, name, None)


@router.post(
    "/models/{name}/versions/{version}/infer",
    summary="Score items by a version",
    openapi_extra={"requestBody": _BODY},
    responses=_INFER,
)
async def infer_by(name: Name, version: Version, request: Request) -> Response:
    return await _infer(request, name, version)


def _described(request: Request, name: str, version: int | None) -> JSONResponse:
    services = services_of(request)
    manifest = services.catalogue.manifest(name, version)
    versions = [
        str(number)
        for entry in services.catalogue.entries()
        if entry.name == manifest.name
        for number in entry.versions
    ]
    shape = [-1, *(manifest.data.shape or [-1])]
    levels = manifest.data.levels
    datatype = "FP32" if levels is None else "UINT8" if levels <= 256 else "INT32"
    items = {"name": ITEMS, "datatype": datatype, "shape": shape}
    if isinstance(manifest.data.media_codec, Text):
        items = {"name": ITEMS, "datatype": "BYTES", "shape": [-1]}
    axes = {"label": 0, "series": 2, "plane": 3}
    conditions = [
        {
            "name": entry.name,
            "datatype": "INT64" if entry.kind == "label" else "FP32",
            "shape": [-1] * (1 + axes[entry.kind]),
        }
        for entry in manifest.conditions
    ]
    outputs = [
        {"name": found, "datatype": "FP64", "shape": [-1]} for found in ("log_prob", "bits_per_dim")
    ]
    per_dim = {"name": "per_dim", "datatype": "FP64", "shape": shape}
    return JSONResponse(
        {
            "name": manifest.name,
            "versions": versions,
            "platform": f"ancestral_{manifest.family or 'graph'}",
            "inputs": [items, *conditions],
            "outputs": [*outputs, per_dim],
        }
    )


async def _readiness(request: Request, name: str, version: int | None) -> JSONResponse:
    services = services_of(request)
    manifest = services.catalogue.manifest(name, version)
    report = report_of(await services.queue.workers(), manifest.label)
    if report is None or report.state != "ready":
        state = "not loaded" if report is None else report.error or report.state
        raise Problem(503, "Service Unavailable", f"{manifest.label}: {state}")
    return JSONResponse({"name": manifest.name, "ready": True})


async def _infer(request: Request, name: str, version: int | None) -> Response:
    services = services_of(request)
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Problem(415, "Unsupported Media Type", "compressed bodies are not read")
    body = await request.body()
    header = request.headers.get(HEADER_LENGTH)
    asked, tensors = await asyncio.to_thread(read_request, body, header)
    manifest = await services.served(name, version)
    ask = await asyncio.to_thread(_ask, asked, tensors, manifest)
    job = await score_job(services, ask, manifest, JSON)
    await services.submit(job)
    entries = await services.outcome(request, job)
    return await asyncio.to_thread(_answer, asked, job, entries[-1], manifest)


def _ask(
    request: InferenceRequest, tensors: Sequence[Tensor], manifest: Manifest
) -> Ask[LogProbOptions]:
    """The request as `POST /log_prob` would have it."""
    by_name = {tensor.name: tensor.values for tensor in tensors}
    if ITEMS not in by_name or len(by_name) < len(tensors):
        raise Problem.of_field("inputs", f"{ITEMS} is needed, and no name twice")
    items = [
        Raw(f"{ITEMS}[{index}]", *content)
        for index, content in enumerate(_contents(by_name.pop(ITEMS), manifest))
    ]
    if not items:
        raise Problem.of_field(ITEMS, "holds no item")
    given = {name: request.parameters[name] for name in OPTIONS if name in request.parameters}
    if "timeout" in request.parameters:  # the protocol's, in microseconds
        timeout = request.parameters["timeout"]
        if not isinstance(timeout, int) or isinstance(timeout, bool):
            raise Problem.of_field("timeout", "microseconds are expected, as an integer")
        given["timeout_seconds"] = timeout / 1e6
    condition = {name: _listed(name, values) for name, values in by_name.items()}
    maps = "per_dim" in [wish.name for wish in request.outputs or ()]
    try:
        options = LogProbOptions.model_validate(
            {
                "model": manifest.name,
                "return": ["log_prob", "bits_per_dim", *(["per_dim"] if maps else [])],
                "condition": condition or None,
                **given,
            }
        )
    except ValidationError as error:
        raise of_validation(error) from error
    return Ask(options, items)


def _contents(values: Array | list[bytes], manifest: Manifest) -> list[tuple[bytes, str | None]]:
    """Each item as a file and its media type."""
    if isinstance(values, list):
        kind = TEXT if isinstance(manifest.data.media_codec, Text) else None
        return [(text, kind) for text in values]
    if values.ndim == 0:
        raise Problem.of_field(ITEMS, "its first axis counts the items")
    return [(encode_npy(np.ascontiguousarray(item)), NPY) for item in values]


def _listed(name: str, values: Array | list[bytes]) -> Any:
    if isinstance(values, list):
        raise Problem.of_field(name, "numbers are expected")
    return values.tolist()


def _answer(request: InferenceRequest, job: Job, entry: Entry, manifest: Manifest) -> Response:
    results = scored(job, entry, manifest)["results"]
    for result in results:
        if "error" in result:
            error = result["error"]
            raise Problem(error["status"], error["title"], error["detail"])
    wishes = request.outputs
    if wishes is None:
        names = ["log_prob", "bits_per_dim"]
        binary = names if request.parameters.get("binary_data_output") is True else []
    else:
        names = [wish.name for wish in wishes]
        binary = [wish.name for wish in wishes if wish.parameters.binary_data]
    outputs = {name: _output(name, results, job, entry, manifest) for name in names}
    document: Mapping[str, Any] = {
        "model_name": manifest.name,
        "model_version": str(manifest.version),
        **({} if request.id is None else {"id": request.id}),
    }
    body, length = encode_answer(document, outputs, binary)
    if length is None:
        return Response(body, media_type=JSON)
    headers = {HEADER_LENGTH: str(length)}
    return Response(body, media_type="application/octet-stream", headers=headers)


def _output(
    name: str, results: Sequence[Mapping[str, Any]], job: Job, entry: Entry, manifest: Manifest
) -> Array:
    if name != "per_dim":
        return np.array([result[name] for result in results], dtype=np.float64)
    maps = item_maps(job, entry, manifest)
    if len({found.shape for found in maps}) > 1:
        raise Problem.of_field("per_dim", "the items are of several lengths")
    return np.stack(maps)
