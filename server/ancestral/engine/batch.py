"""The running batch of one model: sampling jobs join and leave it without draining it.

Every turn has three beats: admit (free slots go to waiting items), step (all slots advance, slice
by slice), publish (frames that are due, finished jobs). While slots are free a slice is a twentieth
of the shortest item (`engine.pace`), and a turn ends after the slice in which a job came, ended or
had its first output: so whoever comes waits for milliseconds, and frames still come every 50 ms.

Who gets a free slot is decided in `engine.turns`, how many there are in `engine.footprint`; longer
items join while all together fit into the memory. An error fails the job it belongs to: where a
step fails for the whole batch, each job is tried alone, and the others go on by replay.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ancestral.broker import Delivery, Publication
from ancestral.engine.footprint import footprint
from ancestral.engine.limits import Limits
from ancestral.engine.metrics import WorkerMetrics
from ancestral.engine.model import Model
from ancestral.engine.pace import Pace
from ancestral.engine.places import Places
from ancestral.engine.trials import errors_alone
from ancestral.engine.turns import next_job, spare_slots
from ancestral.engine.work import Item, Work, failure, log_fault, refusal, started
from ancestral.runtimes.base import Advance
from ancestral.tracing import trace_job

logger = logging.getLogger("ancestral.engine")
DUE = 0.8  # of a frame's time: what is told by then is not told a turn later
END = 0.1  # of a turn: what is left then is not worth a slice


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
        allowed = min(limits.slot_bytes, limits.memory - self.footprint.weights)
        self._places = Places(model, self.footprint.slots, allowed)
        self._spare = spare_slots(self._limits.slots)
        self._clock, self._wall = clock, wall
        self._label = model.label
        self._works: dict[str, Work] = {}
        self._arrivals = 0
        self._pace = Pace()
        self._out: list[Publication] = []

    @property
    def runtime(self) -> str:
        return self._places.runtime.name

    @property
    def jobs(self) -> Mapping[str, int]:
        """Which attempt at each job this is."""
        return {job: work.attempt for job, work in self._works.items()}

    @property
    def room(self) -> int:
        """Jobs worth pulling: no more than could have a slot each."""
        return max(0, self._limits.slots - sum(not w.paused for w in self._works.values()))

    @property
    def busy(self) -> bool:
        return bool(self._works)

    @property
    def active(self) -> bool:
        """Busy, and not only with jobs that are paused."""
        return any(not work.paused for work in self._works.values())

    @property
    def bytes(self) -> int:
        """Of weights and caches: the footprint, or what longer items have made of it."""
        return self.footprint.weights + max(self.footprint.caches, self._places.bytes)

    @property
    def slots_in_use(self) -> int:
        return len(self._places)

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
            log_fault(error, job)
            self._out.append(Publication(job.id, delivery.attempt, "failed", failure(error)))
            self._metrics.finished.labels(self._label, "failed").inc()
            return
        self._works[job.id] = work
        if work.done:  # all but its last word was published before
            self._end(work, work.finish(self._clock() - work.pulled))

    def forget(self, jobs: Collection[str]) -> None:
        """Let go of jobs that another worker has taken over."""
        for job in self._works.keys() & set(jobs):
            self._leave(self._works[job])

    def drop(self, jobs: Collection[str]) -> None:
        """End jobs on request; their slots are free at once."""
        for job in self._works.keys() & set(jobs):
            self._end(self._works[job], self._works[job].publication("canceled", {}))

    def pause(self, jobs: Collection[str]) -> None:
        """These jobs pause, all others go on: a slot is given back, and replayed for later."""
        for work in list(self._works.values()):
            if work.paused and work.last_output is not None:
                work.last_output = self._clock()  # a pause is no gap between outputs
            work.paused = work.job.id in jobs
            if work.paused and work.running:
                self._tell(math.inf, work)
                for slot, item in reversed(list(work.running.items())):
                    work.waiting.appendleft(item)
                    self._places.close(slot)

    def turn(self, budget: float, stirred: Callable[[], bool] = lambda: False) -> None:
        """Admit, and step for about `budget` seconds; for less where `stirred` says that jobs came.

        It ends early, too, with what is to be told at once.
        """
        self._expire()
        end = self._clock() + budget
        while True:
            self._fill()
            if not self._places:
                return
            before = self._clock()
            sites = self._slice(end - before)
            self._metrics.batch_size.labels(self._label, "sample").observe(len(self._places))
            try:
                advances = self.advance(sites)
            except Exception as error:
                self._recover(error, sites)
                return
            now = self._clock()
            self._pace.measured(sites, now - before)
            urgent = [self._places.keep(advance) for advance in advances]
            if any(urgent) or now + END * budget >= end or stirred():
                break
        self._tell(now - DUE * self._limits.frame_seconds)

    def advance(self, sites: int) -> Sequence[Advance]:
        """Step every slot by so many sites at most."""
        return self._places.runtime.step(sites)

    def _slice(self, budget: float) -> int:
        """Sites until the next look: none ends before, and if slots are free, few."""
        if self._places.free:
            budget = self._pace.slice(budget, self._places.shortest)
        return max(1, min(self._places.left, self._pace.sites(budget)))

    def abandon(self, error: Exception) -> None:
        """A fault of the batch itself: its jobs fail, and it starts anew."""
        self._places.anew()
        for work in list(self._works.values()):
            work.running.clear()
            self._fail(work, failure(error))

    def report(self) -> None:
        """Bring the gauges up to date."""
        running = len(list(self._places))
        self._metrics.batch(
            self._label,
            running=running,
            held=len(self._works) - running,
            slots=(len(self._places), self._limits.slots),
            cache=self._places.own_bytes,
        )

    # Admit.

    def _fill(self) -> None:
        while free := self._places.free:
            work = next_job(self._works.values(), shared=free > self._spare)
            if work is None:
                return
            sites = work.request.sites
            if not self._places.fits(sites):
                if self._places:
                    return  # its turn comes when a slot is given back
                need, most = self._places.cost(sites), self._places.allowed
                detail = f"{sites} sites need {need} bytes of cache; {most} are allowed"
                self._fail(work, refusal(413, "The item is too large", detail, ("sites",)))
                continue
            self._open(work, work.waiting.popleft())

    def _open(self, work: Work, item: Item) -> None:
        before = self._clock()
        try:
            self._places.open(work, item)
        except Exception as error:
            log_fault(error, work.job)
            self._fail(work, failure(error))
            return
        now = self._clock()
        self._metrics.prefill.labels(self._label).observe(now - before)
        self._pace.restart()
        if work.started is None:
            work.started = now
            if not work.told:
                waited = max(0.0, self._wall() - work.job.submitted)
                self._metrics.queued.labels(self._label).observe(waited)
                self._out.append(started(self._model, work, self.runtime))
                work.told = True

    def _expire(self) -> None:
        now = self._wall()
        for work in list(self._works.values()):
            deadline = work.job.deadline
            if not work.told and deadline is not None and now >= deadline:
                detail = "no slot was free in time"
                self._fail(work, refusal(504, "Deadline passed", detail, ("timeout_seconds",)))

    # Publish.

    def _tell(self, before: float, only: Work | None = None) -> None:
        """Publish the frames of jobs whose last ones came before that, and items that ended."""
        for work in self._places if only is None else (only,):
            due = work.last_output is None or work.last_output <= before
            for slot, item in list(work.running.items()):
                if due or self._places.ended(slot):
                    advance = self._places.take(slot)
                    if advance is not None:
                        self._gain(work, item, advance)

    def _gain(self, work: Work, item: Item, advance: Advance) -> None:
        news = item.gain(advance)
        if not len(news.values):
            return
        now = self._clock()
        drawn = int((~news.given.all(axis=1)).sum())
        gap = None if work.last_output is None else now - work.last_output
        self._metrics.output(self._label, drawn, gap, self._wall() - work.job.submitted)
        work.last_output = now
        self._out.append(work.output(item, news))
        if advance.done:
            self._places.close(advance.slot)
            if work.done:
                seconds = now - (work.started or now)
                self._metrics.sample.labels(self._label).observe(seconds)
                self._end(work, work.finish(seconds))

    def _leave(self, work: Work) -> None:
        for slot in list(work.running):
            self._places.close(slot)
        del self._works[work.job.id]

    def _end(self, work: Work, last: Publication) -> None:
        self._leave(work)
        self._out.append(last)
        now = self._wall()
        self._metrics.ended(self._label, last.event, now - work.job.submitted)
        running = 0.0 if work.started is None else self._clock() - work.started
        trace_job(work.job, last.event, now, running)

    def _fail(self, work: Work, why: dict[str, Any]) -> None:
        self._end(work, work.publication("failed", why))

    def _recover(self, error: Exception, sites: int) -> None:
        """A step of so many sites failed: find whose fault it is, and go on with the rest.

        Where every job does well alone the fault is the batch's: all fail, for it would come again.
        """
        logger.exception("model %s: a step failed; its jobs are tried one by one", self._label)
        self._tell(math.inf)  # what is to be replayed
        suspects = list(self._places)
        self._places.anew()
        held = {work: list(work.running.values()) for work in suspects}
        found_of = errors_alone(held, self._places.another, sites)
        nobody = not any(found_of.values())
        for work, items in held.items():
            work.running.clear()
            found = error if nobody else found_of[work]
            if found is None:
                work.waiting.extendleft(reversed(items))
            else:
                self._fail(work, failure(found))
