"""Scoring jobs of one model: items of one shape share a teacher-forced pass, whoever sent them.

An item waits a few milliseconds for others, then goes. A pass takes about the time of a turn: its
size follows the measured seconds per value, one item at least. An error fails the item that it
belongs to: where a pass fails, its items are scored alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ancestral.broker import Delivery, Job, Publication
from ancestral.engine import conditions as conditioning
from ancestral.engine.limits import Limits
from ancestral.engine.metrics import WorkerMetrics
from ancestral.engine.model import Model
from ancestral.engine.request import ScoreRequest, unpack_items
from ancestral.engine.scoring import Score, checked_item
from ancestral.engine.work import failure, refusal

logger = logging.getLogger("ancestral.engine")
Vector = npt.NDArray[np.float64]  # a representation, [width]
Rows = tuple[torch.Tensor | None, ...]


class _Work:
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


@dataclass(frozen=True, slots=True)
class _Unit:
    """One item that waits; units with equal keys can share a pass."""

    work: _Work
    index: int
    key: tuple[Any, ...]
    since: float


class ScoreBatches:
    """Scoring jobs of one model, pass by pass. Publications wait in `take`."""

    def __init__(
        self,
        model: Model,
        limits: Limits,
        metrics: WorkerMetrics,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._model, self._limits, self._metrics = model, limits, metrics
        self._clock, self._wall = clock, wall
        self._label = f"{model.name}/{model.version}"
        self._works: dict[str, _Work] = {}
        self._units: list[_Unit] = []
        self._seconds_per_value: float | None = None
        self._out: list[Publication] = []

    @property
    def jobs(self) -> Mapping[str, int]:
        """Which attempt at each job this is."""
        return {job: work.attempt for job, work in self._works.items()}

    @property
    def room(self) -> int:
        """Jobs worth pulling: no more than fill a pass."""
        return max(0, self._limits.score_items - len(self._units))

    @property
    def busy(self) -> bool:
        return bool(self._units)

    def due(self) -> float:
        """Seconds until a pass should run; 0 where one is full or has waited long enough."""
        if not self._units:
            return float("inf")
        if len(self._units) >= self._limits.score_items:
            return 0.0
        oldest = min(unit.since for unit in self._units)
        return max(0.0, oldest + self._limits.score_seconds - self._clock())

    def take(self) -> list[Publication]:
        """What is to be published since the last call."""
        found, self._out = self._out, []
        return found

    def admit(self, delivery: Delivery) -> None:
        """Take a job in; it fails at once where its items do not fit the model."""
        job, now = delivery.job, self._clock()
        try:
            work = _Work(self._model, delivery, now)
        except Exception as error:
            self._log(error, job.id)
            self._out.append(Publication(job.id, delivery.attempt, "failed", failure(error)))
            self._metrics.finished.labels(self._label, "failed").inc()
            return
        self._works[job.id] = work
        for index, code in enumerate(work.codes):
            shapes = tuple(None if row is None else row.shape[1:] for row in work.rows)
            key = (job.priority, code.shape, shapes, work.layer, work.request.order)
            self._units.append(_Unit(work, index, key, now))

    def forget(self, jobs: Collection[str]) -> None:
        """Let go of jobs that another worker has taken over."""
        for job in jobs:
            if job in self._works:
                self._leave(self._works[job])

    def drop(self, jobs: Collection[str]) -> None:
        """End jobs on request."""
        for job in jobs:
            work = self._works.get(job)
            if work is not None:
                self._end(work, work.publication("canceled", {}))

    def abandon(self, error: Exception) -> None:
        """A fault of the batch itself: its jobs fail."""
        for work in list(self._works.values()):
            self._end(work, work.publication("failed", failure(error)))

    def turn(self, budget: float) -> None:
        """Score one pass of about `budget` seconds: the best priority's oldest item leads it."""
        self._expire()
        if not self._units:
            return
        lead = min(self._units, key=lambda unit: (unit.key[0], unit.since))
        alike = [unit for unit in self._units if unit.key == lead.key]
        chosen = alike[: self._fitting(lead, budget)]
        taken = set(map(id, chosen))
        self._units = [unit for unit in self._units if id(unit) not in taken]
        for unit in chosen:
            self._start(unit.work)
        self._metrics.batch_size.labels(self._label, "score").observe(len(chosen))
        before = self._clock()
        try:
            self._finish(chosen, self._score(chosen))
        except Exception as error:
            self._alone(chosen, error)
            return
        values = len(chosen) * lead.work.codes[lead.index].numel()
        self._seconds_per_value = (self._clock() - before) / values

    def _fitting(self, lead: _Unit, budget: float) -> int:
        if self._seconds_per_value is None:
            return 1
        each = self._seconds_per_value * lead.work.codes[lead.index].numel()
        return max(1, min(self._limits.score_items, int(budget / max(each, 1e-9))))

    def _start(self, work: _Work) -> None:
        if work.started is None:
            work.started = self._clock()
            if not work.told:
                waited = max(0.0, self._wall() - work.job.submitted)
                self._metrics.queued.labels(self._label).observe(waited)
                self._out.append(work.publication("started", {"model": self._label}))
                work.told = True

    def _score(self, units: Sequence[_Unit]) -> Sequence[Score | Vector]:
        codes = torch.stack([unit.work.codes[unit.index] for unit in units])
        rows = [unit.work.row(unit.index) for unit in units]
        joined: list[torch.Tensor | None] = []
        for parts in zip(*rows, strict=True):
            there = [part for part in parts if part is not None]
            joined.append(torch.cat(there) if there else None)
        layer = units[0].work.layer
        if layer is None:
            order = units[0].work.request.order
            return self._model.under(order).score_rows(codes, joined)
        given = [row for row in joined if row is not None]  # all: a label is never summed out here
        return list(self._model.embed_rows(codes, given, layer).astype(np.float64))

    def _finish(self, units: Sequence[_Unit], found: Sequence[Score | Vector]) -> None:
        for unit, score in zip(units, found, strict=True):
            if not isinstance(score, Score):
                size = unit.work.codes[unit.index].numel()
                unit.work.results[unit.index] = {"layer": unit.work.layer, "dimensions": size}
                unit.work.maps[unit.index] = score
                self._metrics.dimensions.labels(self._label).inc(size)
                if unit.work.done:
                    self._complete(unit.work)
                continue
            unit.work.results[unit.index] = {
                "log_prob": score.log_prob,
                "bits_per_dim": score.bits_per_dim,
                "dimensions": score.dimensions,
                "percentile": score.percentile,
                "reference_n": score.reference_n,
                "marginalised": score.marginalised,
            }
            if unit.work.request.per_dim:
                unit.work.maps[unit.index] = score.per_dim  # [S, C]
            self._metrics.dimensions.labels(self._label).inc(score.dimensions)
            if unit.work.done:
                self._complete(unit.work)

    def _alone(self, units: Sequence[_Unit], error: Exception) -> None:
        for unit in units:
            if unit.work.job.id not in self._works:
                continue
            try:
                self._finish([unit], self._score([unit]))
            except Exception as own:
                self._log(own, unit.work.job.id)
                unit.work.results[unit.index] = {"error": failure(own)}
                if unit.work.done:
                    self._complete(unit.work)

    def _complete(self, work: _Work) -> None:
        seconds = self._clock() - (work.started or work.pulled)
        self._metrics.score.labels(self._label).observe(seconds)
        errors = [result["error"] for result in work.results if result and "error" in result]
        if len(errors) == len(work.results):
            self._end(work, work.publication("failed", errors[0]))
            return
        payload = b""
        if work.request.per_dim or work.request.embed:
            width = next((found.size for found in work.maps if found is not None), 0)
            payload = b"".join(
                (np.full(code.numel() if work.layer is None else width, np.nan)
                 if found is None else found).astype("<f8").tobytes()
                for found, code in zip(work.maps, work.codes, strict=True)
            )  # fmt: skip
        data = {"scores": work.results, "seconds": seconds}
        self._end(work, work.publication("done", data, payload))

    def _expire(self) -> None:
        now = self._wall()
        for work in list(self._works.values()):
            deadline = work.job.deadline
            if not work.told and deadline is not None and now >= deadline:
                why = refusal(504, "Deadline passed", "no turn in time", ("timeout_seconds",))
                self._end(work, work.publication("failed", why))

    def _leave(self, work: _Work) -> None:
        del self._works[work.job.id]
        self._units = [unit for unit in self._units if unit.work is not work]

    def _end(self, work: _Work, last: Publication) -> None:
        self._leave(work)
        self._out.append(last)
        self._metrics.finished.labels(self._label, last.event).inc()
        waited = max(0.0, self._wall() - work.job.submitted)
        self._metrics.whole.labels(self._label).observe(waited)

    def _log(self, error: Exception, job: str) -> None:
        if not isinstance(error, ValueError | TypeError):
            logger.error("job %s failed", job, exc_info=error, extra={"job": job})
