"""What requests hold and answers say, as the OpenAPI document describes them."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

LARGEST_JSON_SEED = 2**53 - 1
_DECIMAL = re.compile(r"[0-9]{1,20}")


def _seed(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        if 0 <= value <= LARGEST_JSON_SEED:
            return value
        raise ValueError(f"an integer from 0 to {LARGEST_JSON_SEED} or a decimal string")
    if isinstance(value, str) and _DECIMAL.fullmatch(value) and int(value) < 2**64:
        return int(value)
    raise ValueError("an integer from 0 to 2^53 - 1, or a decimal string below 2^64, is expected")


Seed = Annotated[
    int,
    BeforeValidator(_seed),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": LARGEST_JSON_SEED},
                {"type": "string", "pattern": "^[0-9]{1,20}$"},
            ]
        }
    ),
]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Returned = Literal["log_prob", "bits_per_dim", "per_dim", "heat_map", "percentile", "data"]
CONDITION = "by name: a label, numbers or a file of them; a list holds one per item"
RETURNED: tuple[Returned, ...] = ("log_prob", "bits_per_dim", "percentile")


class Body(BaseModel):
    """Base of requests: strict types, unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Queued(Body):
    """What every job may say of its place in the queue."""

    model: str = Field(description="NAME, or NAME/VERSION", min_length=1, max_length=128)
    priority: Literal[1, 2, 3] = Field(2, description="1 is served first")
    timeout_seconds: Positive | None = Field(
        None, description="504 if no worker has started by then"
    )


class SampleBody(Queued):
    """A sampling request."""

    count: int = Field(1, ge=1, description="items")
    seed: Seed | None = Field(None, description="drawn and returned where absent")
    first_item: int = Field(0, ge=0, lt=2**32, description="item i is drawn as item first_item + i")
    condition: dict[str, Any] | None = Field(None, description=CONDITION)
    temperature: float = Field(1.0, ge=0, le=100, allow_inf_nan=False)
    top_k: int | None = Field(None, ge=1)
    top_p: float | None = Field(None, gt=0, le=1, allow_inf_nan=False)
    prefix: list[Any] | str | None = Field(
        None, description="the first sites in generation order; of text, its beginning"
    )
    known: list[Any] | None = Field(None, description="shaped like an item, null where to sample")
    order: str | None = Field(None, description="of an ensemble: draw and score under this one")
    sites: int | None = Field(None, ge=1, description="length of items of open length")
    seconds: Positive | None = Field(None, description="the same, in time")

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"model": "gated-pixelcnn-mnist", "count": 4, "seed": 7, "condition": {"label": 3}},
                {"model": "wavenet-fsdd", "seconds": 0.5, "condition": {"digit": 2}},
            ]
        }
    )


class File(Body):
    """A file in JSON."""

    data: str = Field(description="base64 of the bytes of a PNG, JPEG, WAV, MIDI, TXT or NPY file")
    content_type: str | None = None


class ItemOptions(Queued):
    """What requests about the client's items have in common."""

    condition: dict[str, Any] | None = Field(None, description=CONDITION)
    fit: bool = Field(False, description="resize, resample and cast, and say so")


class LogProbOptions(ItemOptions):
    """What a scoring request says beside its items."""

    returned: list[Returned] = Field(list(RETURNED), alias="return", min_length=1)
    order: str | None = Field(None, description="of an ensemble: score under this one alone")
    marginal: bool = Field(False, description="sum out labels that the condition does not give")


class LogProbBody(LogProbOptions):
    """A scoring request in JSON."""

    inputs: list[list[Any] | str | File] = Field(
        min_length=1, description="items: nested numbers, text, or files in base64"
    )

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model": "made-binarized-mnist",
                    "inputs": [{"data": "iVBORw0KGgo…", "content_type": "image/png"}],
                    "return": ["log_prob", "bits_per_dim", "percentile"],
                }
            ]
        }
    )


class EmbedOptions(ItemOptions):
    """What a request for representations says beside its items."""

    layer: int | None = Field(
        None, ge=1, description="the hidden state after that many layers; half of them if absent"
    )


class EmbedBody(EmbedOptions):
    """A request for representations in JSON."""

    inputs: list[list[Any] | str | File] = Field(
        min_length=1, description="items: nested numbers, text, or files in base64"
    )

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model": "image-gpt-binary-mnist",
                    "inputs": [{"data": "iVBORw0KGgo…", "content_type": "image/png"}],
                    "layer": 2,
                }
            ]
        }
    )


class FieldAtFault(BaseModel):
    field: str
    message: str


class ProblemDocument(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    instance: str | None = None
    request_id: str | None = None
    retry_after: int | None = Field(None, description="seconds; where trying again makes sense")
    errors: list[FieldAtFault] = Field(default_factory=list)


class TokenAnswer(BaseModel):
    """What `POST /tokens` gives."""

    token: str
    expires_in: float = Field(description="seconds")


class ItemScore(BaseModel):
    """One item's score, or why it has none; nats in data units."""

    index: int
    log_prob: float | None = None
    bits_per_dim: float | None = None
    dimensions: int | None = None
    percentile: float | None = Field(None, description="0-100 among held-out items; low: anomalous")
    reference_n: int | None = None
    marginalised: bool | None = None
    fit: list[str] | None = Field(None, description="the steps that `fit` took")
    per_dim: list[Any] | None = Field(None, description="nats, shaped like the item")
    heat_map: str | None = Field(None, description="base64 of a PNG of the surprise, -nats")
    data: list[Any] | None = Field(None, description="the item as it was scored, shaped like one")
    error: ProblemDocument | None = None


class LogProbAnswer(BaseModel):
    job: str
    model: str
    results: list[ItemScore]
    seconds: float


class ItemEmbedding(BaseModel):
    """One item's representation."""

    index: int
    embedding: list[float] | None = None
    fit: list[str] | None = Field(None, description="the steps that `fit` took")
    error: ProblemDocument | None = None


class EmbedAnswer(BaseModel):
    job: str
    model: str
    layer: int
    width: int
    results: list[ItemEmbedding]
    seconds: float


class SampledItem(BaseModel):
    item: int
    log_prob: float = Field(description="nats of all sites under the untempered model")
    sampled_log_prob: float = Field(description="nats of the values that were not given")
    bits_per_dim: float
    dimensions: int
    data: list[Any] = Field(description="codes, shaped like an item")
    text: str | None = Field(None, description="the same as text, where the model writes text")


class SampleAnswer(BaseModel):
    job: str
    model: str
    seed: int | str
    first_item: int
    fingerprint: str
    derived: bool
    seconds: float
    sites_per_second: float
    notes: list[str]
    items: list[SampledItem]


class JobAnswer(BaseModel):
    """A job on its way; a finished sampling or scoring job answers with its result instead."""

    id: str
    model: str
    kind: Literal["sample", "score", "control"]
    state: Literal["queued", "running", "done", "failed", "canceled"]
    ahead: int = Field(description="jobs that wait before it")
    progress: dict[str, Any]
    submitted: float = Field(description="seconds since the epoch")
    cancel_requested: bool
    attempt: int = Field(description="workers that have taken it up")
    last_error: str | None = Field(None, description="why the last of them did not finish it")
    error: ProblemDocument | None = None


class ModelAnswer(BaseModel):
    name: str
    version: int
    versions: list[int]
    title: str = Field(description="of the model card; its name where there is none")
    summary: str = Field(description="the first paragraph of the model card")
    state: Literal["unloaded", "on_demand", "loading", "ready", "leaving", "failed"]
    error: str | None
    family: str
    kind: str
    shape: list[int]
    levels: int | None
    sample_rate: int | None
    codec: dict[str, Any] | None
    palette: list[list[int]] | None
    sites: int | None = Field(description="null where the length is open")
    length: dict[str, int] | None
    dims_per_site: int
    likelihood: str
    conditions: list[dict[str, Any]]
    reference_n: int
    reference_marginal: bool | None
    derived: bool | None
    runtime: str | None
    fingerprint: str | None
    slots_total: int
    slots_in_use: int
    manifest: dict[str, Any] | None = None
    reference_scores: list[float] | None = Field(
        None, description="of held-out items, ascending, in the unit of the percentiles"
    )


class ModelList(BaseModel):
    models: list[ModelAnswer]


class HeldModel(BaseModel):
    """A model as one worker holds it."""

    state: Literal["loading", "ready", "on_demand", "leaving", "failed"]
    error: str | None
    derived: bool | None
    runtime: str | None
    fingerprint: str | None
    slots_total: int
    slots_in_use: int
    bytes: int = Field(description="of weights and of the caches of all slots")


class WorkerAnswer(BaseModel):
    worker: str
    steps: int = Field(description="turns of its loop: they advance while it is well")
    slots_total: int
    slots_in_use: int
    models: dict[str, HeldModel] = Field(description="by NAME/VERSION")


class WorkerList(BaseModel):
    workers: list[WorkerAnswer]
    waiting: dict[str, int] = Field(description="jobs that wait, by NAME/VERSION")
