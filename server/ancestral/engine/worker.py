"""The worker: one thread that gives every model's sampling and scoring its turns.

A turn pulls what fits, lets the contender with the least time used work for about a frame's time
divided by the number of contenders, and publishes in one go. So frames come about every 50 ms
however many models run, and neither verb starves (`engine.shares`). Idle turns count too: the
step counter stands still only if the worker hangs.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Iterable
from typing import Literal

from ancestral.broker import Publication, WorkerQueue, WorkerReport
from ancestral.engine.limits import Limits
from ancestral.engine.metrics import WorkerMetrics
from ancestral.engine.residents import Loader, Resident, Residents
from ancestral.engine.shares import Shares
from ancestral.engine.work import refusal

logger = logging.getLogger("ancestral.engine")

CONTROL = "control"  # the queue of load and unload jobs
IDLE_SECONDS = 0.25  # longest sleep between turns
SHORTEST_TURN = 0.005  # seconds; below it publishing would cost more than stepping
Contender = tuple[str, Literal["sample", "score"]]


class Worker:
    """Runs `turn` in a thread between `start` and `stop`; tests may call `turn` themselves."""

    def __init__(
        self,
        queue: WorkerQueue,
        loader: Loader,
        metrics: WorkerMetrics,
        limits: Limits | None = None,
        preload: Iterable[str] = (),
    ) -> None:
        self.name = f"worker-{uuid.uuid4().hex[:8]}"
        self.steps = 0
        self._queue, self._metrics = queue, metrics
        self._limits = limits or Limits()
        self._residents = Residents(loader, self._limits, metrics)
        self._residents.preload(preload)
        self._shares: Shares[Contender] = Shares()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self._heartbeat()

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float = 10.0) -> None:
        """End after the turn that runs; what is unfinished is left to the queue."""
        self._stopping.set()
        self._queue.wake()
        self._thread.join(timeout)
        self._residents.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                pause = self.turn()
            except Exception:  # a fault of the worker itself must not end it silently
                logger.exception("a turn failed")
                pause = IDLE_SECONDS
            if pause > 0:
                self._queue.wait(pause)

    def turn(self) -> float:
        """One turn; the seconds that may pass before the next one."""
        self.steps += 1
        self._metrics.steps.inc()
        out = self._control()
        for label, resident in self._residents:
            self._admit(label, resident)
        pause = self._work()
        for _, resident in self._residents:
            out += resident.batch.take() + resident.scores.take()
            resident.batch.report()
        out += self._residents.poll()
        self._heartbeat()  # first, so that who is told of a load or unload sees its outcome
        if out:
            self._queue.publish(out)
        return pause

    def _control(self) -> list[Publication]:
        out: list[Publication] = []
        for delivery in self._queue.pull(CONTROL, "control", 8):
            out += self._residents.control(delivery)
        return out

    def _admit(self, label: str, resident: Resident) -> None:
        batch, scores = resident.batch, resident.scores
        held = [*batch.jobs, *scores.jobs]
        if held:
            ended = self._queue.canceled(held)
            batch.drop(ended)
            scores.drop(ended)
        if resident.leaving:
            self._refuse(label)
            return
        if batch.room:
            for delivery in self._queue.pull(label, "sample", batch.room):
                batch.admit(delivery)
        if scores.room:
            for delivery in self._queue.pull(label, "score", scores.room):
                scores.admit(delivery)

    def _refuse(self, label: str) -> None:
        """A model that is being unloaded takes no more jobs."""
        why = refusal(409, "The model is not loaded", f"{label} is being unloaded", ("model",))
        deliveries = [
            *self._queue.pull(label, "sample", self._limits.slots),
            *self._queue.pull(label, "score", self._limits.slots),
        ]
        self._queue.publish([Publication(d.job.id, d.attempt, "failed", why) for d in deliveries])

    def _work(self) -> float:
        residents = dict(self._residents)
        contenders: list[Contender] = []
        due = IDLE_SECONDS
        for label, resident in residents.items():
            if resident.batch.busy:
                contenders.append((label, "sample"))
            if resident.scores.busy:
                wait = resident.scores.due()
                if wait <= 0:
                    contenders.append((label, "score"))
                due = min(due, wait)
        if not contenders:
            return due
        chosen = self._shares.pick(contenders)
        label, lane = chosen
        budget = max(SHORTEST_TURN, self._limits.frame_seconds / len(contenders))
        resident = residents[label]
        jobs = resident.batch if lane == "sample" else resident.scores
        before = time.monotonic()
        try:
            jobs.turn(budget)
        except Exception as error:  # of the batch itself: those of jobs are dealt with inside
            logger.exception("model %s: its %s jobs are given up", label, lane)
            jobs.abandon(error)
        self._shares.charge(chosen, time.monotonic() - before)
        return 0.0

    def _heartbeat(self) -> None:
        self._queue.renew(WorkerReport(self.name, self.steps, self._residents.report()))
