"""Jobs as the API submits them, and what comes of them."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import numpy as np
import numpy.typing as npt

from ancestral.broker import Delivery, Entry, Job, MemoryQueue, Publication
from ancestral.engine.model import Model
from ancestral.engine.request import ScoreRequest, checked_sample, pack_items
from ancestral.engine.values import dtype_of, from_bytes

_numbers = itertools.count()


def sample_job(model: Model, *, name: str = "", priority: int = 2, **request: Any) -> Job:
    """A sampling job; `timeout` and `submitted` go to the job, the rest to the request."""
    timing = {key: request.pop(key) for key in ("timeout", "submitted") if key in request}
    request = {"count": 1, "seed": 0, **request}
    if model.conditions:
        request.setdefault("condition", {"label": 1})
    checked = checked_sample(model.manifest, **request)
    return Job(
        id=name or f"job{next(_numbers)}",
        model=model.label,
        lane="sample",
        request=checked.to_json(),
        priority=priority,
        **timing,
    )


def score_job(model: Model, items: list[npt.NDArray[Any]], **request: Any) -> Job:
    timing = {key: request.pop(key) for key in ("timeout", "submitted") if key in request}
    shapes, payload = pack_items(items, model.data.levels)
    asked = ScoreRequest(shapes, dtype_of(model.data.levels), **request)
    return Job(
        id=f"job{next(_numbers)}",
        model=model.label,
        lane="score",
        request=asked.to_json(),
        payload=payload,
        **timing,
    )


def delivered(job: Job) -> Delivery:
    return Delivery(job, 1)


def values_of(
    model: Model, entries: list[Publication] | list[Entry], item: int = 0
) -> npt.NDArray[Any]:
    """One item, from its chunks, which must be in order without gap or overlap."""
    parts: list[npt.NDArray[Any]] = []
    at = 0
    for entry in entries:
        if entry.event == "output" and entry.data["item"] == item:
            assert entry.data["first_site"] == at
            at += entry.data["count"]
            dtype, dims = dtype_of(model.data.levels), model.data.dims_per_site
            parts.append(from_bytes(entry.payload, dtype, dims))
    return model.item_of(np.concatenate(parts))


def submit(queue: MemoryQueue, job: Job) -> None:
    asyncio.run(queue.submit(job))


def entries(queue: MemoryQueue, job: Job) -> list[Entry]:
    return asyncio.run(queue.read(job.id, count=10**6))
