"""A scoring job on its way through passes, and what it publishes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ancestral.broker import Delivery, Job, Publication
from ancestral.engine import conditions as conditioning
from ancestral.engine.model import Model
from ancestral.engine.request import ScoreRequest, unpack_items
from ancestral.engine.scoring import Score, checked_item

Vector = npt.NDArray[np.float64]  # a representation, [width]
Rows = tuple[torch.Tensor | None, ...]


class ScoreWork:
    """One scoring job; `results` fill up in any order."""

    def __init__(self, model: Model, delivery: Delivery, now: float) -> None:
        self.job: Job = delivery.job
        self.attempt = delivery.attempt
        self.request = ScoreRequest.from_json(self.job.request)
        items = unpack_items(self.request, self.job.payload)
        self.codes = [checked_item(model.data, index, item) for index, item in enumerate(items)]
        self.rows: Rows = conditioning.tensors(
            model.conditions,
            self.request.condition,
            len(self.codes),
            optional=self.request.marginal,
        )
        self.layer = model.layer(self.request.layer) if self.request.embed else None
        self.results: list[dict[str, Any] | None] = [None] * len(self.codes)
        self.maps: list[npt.NDArray[np.float64] | None] = [None] * len(self.codes)
        self.pulled = now
        self.started: float | None = None
        self.told = bool(delivery.published)  # whether clients know that it has started

    def row(self, index: int) -> Rows:
        return tuple(
            row if row is None else row[[index if len(row) > 1 else 0]] for row in self.rows
        )

    @property
    def done(self) -> bool:
        return None not in self.results

    def publication(self, event: str, data: dict[str, Any], payload: bytes = b"") -> Publication:
        scored = sum(result is not None for result in self.results)
        progress = {"items_done": scored, "items": len(self.results)}
        return Publication(self.job.id, self.attempt, event, data, payload, progress=progress)

    def record(self, index: int, found: Score | Vector) -> int:
        """Take up what was found of an item; its dimensions."""
        if not isinstance(found, Score):
            size = self.codes[index].numel()
            self.results[index] = {"layer": self.layer, "dimensions": size}
            self.maps[index] = found
            return size
        self.results[index] = {
            "log_prob": found.log_prob,
            "bits_per_dim": found.bits_per_dim,
            "dimensions": found.dimensions,
            "percentile": found.percentile,
            "reference_n": found.reference_n,
            "marginalised": found.marginalised,
        }
        if self.request.per_dim:
            self.maps[index] = found.per_dim  # [S, C]
        return found.dimensions

    def last(self, seconds: float) -> Publication:
        """The final entry, once every item has a result: failed where every one has an error."""
        errors = [result["error"] for result in self.results if result and "error" in result]
        if len(errors) == len(self.results):
            return self.publication("failed", errors[0])
        payload = b""
        if self.request.per_dim or self.request.embed:
            width = next((found.size for found in self.maps if found is not None), 0)
            payload = b"".join(
                (np.full(code.numel() if self.layer is None else width, np.nan)
                 if found is None else found).astype("<f8").tobytes()
                for found, code in zip(self.maps, self.codes, strict=True)
            )  # fmt: skip
        return self.publication("done", {"scores": self.results, "seconds": seconds}, payload)
