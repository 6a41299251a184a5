"""The running batch of one model: sampling jobs join and leave it without draining it.

Every turn has three beats: admit (free slots go to waiting items), step (all slots advance by a
chunk that follows the clock), publish (new sites, finished jobs). A free slot goes to the highest
priority, within it to the job that holds the fewest slots, then to the oldest; the last eighth of
the slots goes only to jobs that have none. So one request for a hundred items leaves room for a
later one. An error fails the job it belongs to: where a step fails for the whole batch, each job is
tried alone, and the others go on by replay.

The number of slots follows from the memory that the limits allow and a slot's cost at the default
length (`engine.footprint`). Longer items join while all together fit into that memory.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

from ancestral.broker import Delivery, Job, Publication
from ancestral.engine.footprint import footprint
from ancestral.engine.limits import Limits
from ancestral.engine.metrics import WorkerMetrics
from ancestral.engine.model import Model
from ancestral.engine.pace import Pace
from ancestral.engine.work import Item, Work, failure, refusal, started
from ancestral.runtimes.base import Advance, Runtime
from ancestral.tracing import trace_job

logger = logging.getLogger("ancestral.engine")
SHARED_SLOTS = 4  # with fewer, none is kept for jobs that have none


class RunningBatch:
    """Slots of one model and the jobs in and before them. Publications wait in `take`."""

    def __init__(
        self,
        model: Model,
        limits: Limits,
        metrics: WorkerMetrics,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.footprint = footprint(model, limits)
        self._model, self._metrics = model, metrics
        self._limits = replace(limits, slots=self.footprint.slots)
        self._allowed = min(limits.slot_bytes, limits.memory - self.footprint.weights)
        self._spare = -(-self._limits.slots // 8) if self._limits.slots >= SHARED_SLOTS else 0
        self._clock, self._wall = clock, wall
        self._label = f"{model.name}/{model.version}"
        self._runtime: Runtime = model.new_runtime(self._limits.slots)
        self._longest = 0  # sites, since the runtime was made: its caches have grown to that
        self._works: dict[str, Work] = {}
        self._slots: dict[int, Work] = {}
        self._bytes: dict[int, int] = {}  # by slot
        self._arrivals = 0
        self._pace = Pace()
        self._out: list[Publication] = []

    @property
    def runtime(self) -> str:
        return self._runtime.name

    @property
    def jobs(self) -> Mapping[str, int]:
        """Which attempt at each job this is."""
        return {job: work.attempt for job, work in self._works.items()}

    @property
    def room(self) -> int:
        """Jobs worth pulling: no more than could have a slot each."""
        return max(0, self._limits.slots - len(self._works))

    @property
    def busy(self) -> bool:
        return bool(self._works)

    @property
    def bytes(self) -> int:
        """Of weights and caches: the footprint, or what longer items have made of it."""
        slots = len(self._slots) * self._runtime.slot_bytes(max(1, self._longest))
        return self.footprint.weights + max(self.footprint.caches, slots)

    @property
    def slots_in_use(self) -> int:
        return len(self._slots)

    def take(self) -> list[Publication]:
        """What is to be published since the last call."""
        found, self._out = self._out, []
        return found

    def admit(self, delivery: Delivery) -> None:
        """Take a job in; it fails at once where its request does not fit the model."""
        job = delivery.job
        self._arrivals += 1
        try:
            work = Work(self._model, delivery, self._arrivals, self._clock())
        except Exception as error:
            self._log(error, job)
            self._out.append(Publication(job.id, delivery.attempt, "failed", failure(error)))
            self._metrics.finished.labels(self._label, "failed").inc()
            return
        self._works[job.id] = work
        if work.done:  # all but its last word was published before
            self._end(work, work.finish(self._clock() - work.pulled))

    def forget(self, jobs: Collection[str]) -> None:
        """Let go of jobs that another worker has taken over."""
        for job in jobs:
            if job in self._works:
                self._leave(self._works[job])

    def drop(self, jobs: Collection[str]) -> None:
        """End jobs on request; their slots are free at once."""
        for job in jobs:
            work = self._works.get(job)
            if work is not None:
                self._end(work, work.publication("canceled", {}))

    def turn(self, budget: float) -> None:
        """Admit, and step for about `budget` seconds."""
        self._expire()
        self._fill()
        if not self._slots:
            return
        sites = self._pace.sites(budget)
        self._metrics.batch_size.labels(self._label, "sample").observe(len(self._slots))
        before = self._clock()
        try:
            advances = self._runtime.step(sites)
        except Exception as error:
            self._recover(error, sites)
            return
        self._pace.measured(sites, self._clock() - before)
        for advance in advances:
            self._gain(advance)

    def abandon(self, error: Exception) -> None:
        """A fault of the batch itself: its jobs fail, and it starts anew."""
        self._runtime, self._longest = self._model.new_runtime(self._limits.slots), 0
        self._slots.clear()
        self._bytes.clear()
        for work in list(self._works.values()):
            work.running.clear()
            self._fail(work, failure(error))

    def report(self) -> None:
        """Bring the gauges up to date."""
        metrics, label = self._metrics, self._label
        running = sum(bool(work.running) for work in self._works.values())
        metrics.running.labels(label).set(running)
        metrics.held.labels(label).set(len(self._works) - running)
        metrics.slots_in_use.labels(label).set(len(self._slots))
        metrics.slots_total.labels(label).set(self._limits.slots)
        metrics.cache_bytes.labels(label).set(sum(self._bytes.values()))

    # Admit.

    def _fill(self) -> None:
        while self._runtime.free:
            shared = self._runtime.free > self._spare
            waiting = [
                work for work in self._works.values()
                if work.waiting and (shared or not work.running)
            ]  # fmt: skip
            if not waiting:
                return
            work = min(waiting, key=lambda w: (w.job.priority, len(w.running), w.arrival))
            sites = work.request.sites
            if not self._fits(sites):
                if self._slots:
                    return  # its turn comes when a slot is given back
                need = self._runtime.slot_bytes(sites)
                detail = f"{sites} sites need {need} bytes of cache; {self._allowed} are allowed"
                self._fail(work, refusal(413, "The item is too large", detail, ("sites",)))
                continue
            self._longest = max(self._longest, sites)
            self._open(work, work.waiting.popleft())

    def _fits(self, sites: int) -> bool:
        """Whether one more item of that length finds room; each slot is as large as the longest."""
        if not self._slots and self._longest > max(sites, self._model.default_sites):
            self._runtime = self._model.new_runtime(self._limits.slots)  # what it grew by is freed
            self._longest = 0
        each = self._runtime.slot_bytes(max(sites, self._longest))
        return (len(self._slots) + 1) * each <= self._allowed

    def _open(self, work: Work, item: Item) -> None:
        before = self._clock()
        try:
            slot = self._runtime.open(work.slot_request(item))
        except Exception as error:
            self._log(error, work.job)
            self._fail(work, failure(error))
            return
        now = self._clock()
        self._metrics.prefill.labels(self._label).observe(now - before)
        work.running[slot] = item
        self._slots[slot] = work
        self._bytes[slot] = self._runtime.slot_bytes(work.request.sites)
        self._pace.restart()
        if work.started is None:
            work.started = now
            if not work.told:
                waited = max(0.0, self._wall() - work.job.submitted)
                self._metrics.queued.labels(self._label).observe(waited)
                self._out.append(started(self._model, work, self._runtime.name))
                work.told = True

    def _expire(self) -> None:
        now = self._wall()
        for work in list(self._works.values()):
            deadline = work.job.deadline
            if not work.told and deadline is not None and now >= deadline:
                detail = "no slot was free in time"
                self._fail(work, refusal(504, "Deadline passed", detail, ("timeout_seconds",)))

    # Publish.

    def _gain(self, advance: Advance) -> None:
        work = self._slots[advance.slot]
        item = work.running[advance.slot]
        news = item.gain(advance)
        if not len(news.values):
            return
        now = self._clock()
        drawn = int((~news.given.all(axis=1)).sum())
        self._metrics.sites.labels(self._label).inc(drawn)
        if work.last_output is None:
            waited = max(0.0, self._wall() - work.job.submitted)
            self._metrics.first_output.labels(self._label).observe(waited)
        elif now > work.last_output:
            self._metrics.inter_output.labels(self._label).observe(now - work.last_output)
        work.last_output = now
        self._out.append(work.output(item, news))
        if advance.done:
            self._close(advance.slot)
            if work.done:
                seconds = now - (work.started or now)
                self._metrics.sample.labels(self._label).observe(seconds)
                self._end(work, work.finish(seconds))

    def _close(self, slot: int) -> None:
        work = self._slots.pop(slot)
        work.running.pop(slot)
        self._runtime.close(slot)
        del self._bytes[slot]

    def _leave(self, work: Work) -> None:
        for slot in list(work.running):
            self._close(slot)
        del self._works[work.job.id]

    def _end(self, work: Work, last: Publication) -> None:
        self._leave(work)
        self._out.append(last)
        self._metrics.finished.labels(self._label, last.event).inc()
        now = self._wall()
        self._metrics.whole.labels(self._label).observe(max(0.0, now - work.job.submitted))
        running = 0.0 if work.started is None else self._clock() - work.started
        trace_job(work.job, last.event, now, running)

    def _fail(self, work: Work, why: dict[str, Any]) -> None:
        self._end(work, work.publication("failed", why))

    # Recover.

    def _recover(self, error: Exception, sites: int) -> None:
        """A step of so many sites failed: find whose fault it is, and go on with the rest.

        Where every job does well alone the fault is the batch's: all fail, for it would come again.
        """
        logger.exception("model %s: a step failed; its jobs are tried one by one", self._label)
        suspects = list(dict.fromkeys(self._slots.values()))
        self._runtime, self._longest = self._model.new_runtime(self._limits.slots), 0
        self._slots.clear()
        self._bytes.clear()
        held = {work: list(work.running.values()) for work in suspects}
        found_of = {work: self._trial(work, items, sites) for work, items in held.items()}
        nobody = not any(found_of.values())
        for work, items in held.items():
            work.running.clear()
            found = error if nobody else found_of[work]
            if found is None:
                work.waiting.extendleft(reversed(items))
            else:
                self._fail(work, failure(found))

    def _trial(self, work: Work, items: list[Item], sites: int) -> Exception | None:
        """Step one job alone, as far as the batch was to go; the error that it raises, if any."""
        trial = self._model.new_runtime(self._limits.slots)
        try:
            for item in items:
                trial.open(work.slot_request(item))
            trial.step(sites + max(item.site for item in items))
        except Exception as error:
            return error
        return None

    def _log(self, error: Exception, job: Job) -> None:
        if not isinstance(error, ValueError | TypeError):
            ids = {"job": job.id, "request_id": job.request_id}
            logger.error("job %s failed", job.id, exc_info=error, extra=ids)
