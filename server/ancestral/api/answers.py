"""What the API answers, for the OpenAPI document; bodies of requests are in `schemas`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field


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
    paused: bool = Field(description="nothing is drawn until it goes on")
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
    loadable: bool = Field(description="whether a worker is there that may load it")
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
