"""Scoring jobs of one model: items of one shape share a teacher-forced pass, whoever sent them.

An item waits a few milliseconds for others, then goes. A pass takes about the time of a turn: its
size follows the measured seconds per value, one item at least; one that takes longer, because the
item is long, pauses and goes on in the next turn. Jobs of one priority take turns item by item: a
request for a hundred items does not hold off one that comes later. An error fails the item that it
belongs to: where a pass fails, its items are scored alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ancestral.broker import Delivery, Job, Publication
from ancestral.engine.limits import Limits
from ancestral.engine.metrics import WorkerMetrics
from ancestral.engine.model import Model
from ancestral.engine.score_work import ScoreWork, Vector
from ancestral.engine.scoring import Score
from ancestral.engine.work import failure, refusal
from ancestral.runtimes.long_items import run_through
from ancestral.tracing import trace_job

logger = logging.getLogger("ancestral.engine")


@dataclass(frozen=True, slots=True)
class _Unit:
    """One item that waits; units with equal keys can share a pass."""

    work: ScoreWork
    index: int
    key: tuple[Any, ...]
    since: float
    rank: int  # jobs of one priority take turns by it


@dataclass(slots=True)
class _Pass:
    """Items that are being scored; `parts` pauses, and at last returns what it found of each."""

    units: Sequence[_Unit]
    parts: Generator[None, None, Sequence[Score | Vector]]
    seconds: float = 0.0


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
        self._label = model.label
        self._works: dict[str, ScoreWork] = {}
        self._units: list[_Unit] = []
        self._pass: _Pass | None = None
        self._turns = 0  # the rank that was served last
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
        return bool(self._units) or self._pass is not None

    def due(self) -> float:
        """Seconds until a pass should run; 0 where one is under way, full or has waited enough."""
        if self._pass is not None:
            return 0.0
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
            work = ScoreWork(self._model, delivery, now)
        except Exception as error:
            self._log(error, job)
            self._out.append(Publication(job.id, delivery.attempt, "failed", failure(error)))
            self._metrics.finished.labels(self._label, "failed").inc()
            return
        self._works[job.id] = work
        for index, code in enumerate(work.codes):
            shapes = tuple(None if row is None else row.shape[1:] for row in work.rows)
            key = (job.priority, code.shape, shapes, work.layer, work.request.order)
            self._units.append(_Unit(work, index, key, now, self._turns + 1 + index))

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
        """Score for about `budget` seconds: go on with a pass, or begin one."""
        self._expire()
        if self._pass is None:
            if not self._units:
                return
            self._pass = self._next(budget)
        current, before = self._pass, self._clock()
        try:
            next(current.parts)
            while self._clock() - before < budget:
                next(current.parts)
        except StopIteration as end:
            self._pass = None
            self._finish(current.units, end.value)
        except Exception as error:
            self._pass = None
            self._alone(current.units, error)
            return
        current.seconds += self._clock() - before
        if self._pass is None:
            values = sum(unit.work.codes[unit.index].numel() for unit in current.units)
            self._seconds_per_value = current.seconds / values

    def _next(self, budget: float) -> _Pass:
        """The best priority's next item leads; others of its shape go with it."""
        lead = min(self._units, key=lambda unit: (unit.key[0], unit.rank, unit.since))
        alike = sorted((u for u in self._units if u.key == lead.key), key=lambda unit: unit.rank)
        chosen = alike[: self._fitting(lead, budget)]
        self._turns = max(self._turns, lead.rank)
        taken = set(map(id, chosen))
        self._units = [unit for unit in self._units if id(unit) not in taken]
        for unit in chosen:
            self._start(unit.work)
        self._metrics.batch_size.labels(self._label, "score").observe(len(chosen))
        return _Pass(chosen, self._parts(chosen))

    def _fitting(self, lead: _Unit, budget: float) -> int:
        if self._seconds_per_value is None:
            return 1
        each = self._seconds_per_value * lead.work.codes[lead.index].numel()
        return max(1, min(self._limits.score_items, int(budget / max(each, 1e-9))))

    def _start(self, work: ScoreWork) -> None:
        if work.started is None:
            work.started = self._clock()
            if not work.told:
                waited = max(0.0, self._wall() - work.job.submitted)
                self._metrics.queued.labels(self._label).observe(waited)
                self._out.append(work.publication("started", {"model": self._label}))
                work.told = True

    def _parts(self, units: Sequence[_Unit]) -> Generator[None, None, Sequence[Score | Vector]]:
        codes = torch.stack([unit.work.codes[unit.index] for unit in units])
        rows = [unit.work.row(unit.index) for unit in units]
        joined: list[torch.Tensor | None] = []
        for parts in zip(*rows, strict=True):
            there = [part for part in parts if part is not None]
            joined.append(torch.cat(there) if there else None)
        layer = units[0].work.layer
        if layer is None:
            model = self._model.under(units[0].work.request.order)
            nats = yield from model.scorer.marginal_parts(codes, joined)
            return model.scores_of(nats, joined)
        given = [row for row in joined if row is not None]  # all: a label is never summed out here
        return list(self._model.embed_rows(codes, given, layer).astype(np.float64))

    def _finish(self, units: Sequence[_Unit], found: Sequence[Score | Vector]) -> None:
        for unit, score in zip(units, found, strict=True):
            if self._works.get(unit.work.job.id) is not unit.work:
                continue  # it has left meanwhile
            size = unit.work.record(unit.index, score)
            self._metrics.dimensions.labels(self._label).inc(size)
            if unit.work.done:
                self._complete(unit.work)

    def _alone(self, units: Sequence[_Unit], error: Exception) -> None:
        for unit in units:
            if unit.work.job.id not in self._works:
                continue
            try:
                self._finish([unit], run_through(self._parts([unit])))
            except Exception as own:
                self._log(own, unit.work.job)
                unit.work.results[unit.index] = {"error": failure(own)}
                if unit.work.done:
                    self._complete(unit.work)

    def _complete(self, work: ScoreWork) -> None:
        seconds = self._clock() - (work.started or work.pulled)
        self._metrics.score.labels(self._label).observe(seconds)
        self._end(work, work.last(seconds))

    def _expire(self) -> None:
        now = self._wall()
        for work in list(self._works.values()):
            deadline = work.job.deadline
            if not work.told and deadline is not None and now >= deadline:
                why = refusal(504, "Deadline passed", "no turn in time", ("timeout_seconds",))
                self._end(work, work.publication("failed", why))

    def _leave(self, work: ScoreWork) -> None:
        del self._works[work.job.id]
        self._units = [unit for unit in self._units if unit.work is not work]
        if self._pass is not None and all(
            self._works.get(unit.work.job.id) is not unit.work for unit in self._pass.units
        ):
            self._pass = None

    def _end(self, work: ScoreWork, last: Publication) -> None:
        self._leave(work)
        self._out.append(last)
        self._metrics.finished.labels(self._label, last.event).inc()
        now = self._wall()
        self._metrics.whole.labels(self._label).observe(max(0.0, now - work.job.submitted))
        running = 0.0 if work.started is None else self._clock() - work.started
        trace_job(work.job, last.event, now, running)

    def _log(self, error: Exception, job: Job) -> None:
        if not isinstance(error, ValueError | TypeError):
            ids = {"job": job.id, "request_id": job.request_id}
            logger.error("job %s failed", job.id, exc_info=error, extra=ids)
