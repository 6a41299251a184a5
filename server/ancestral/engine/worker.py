"""The worker: one thread that gives every model's sampling and scoring its turns.

A turn pulls what fits, lets the contender with the least time used work for about a frame's time
divided by the number of contenders, and publishes in one go. So frames come about every 50 ms
however many models run, and neither verb starves (`engine.shares`). Idle turns count too: the
step counter stands still only if the worker hangs.

Every turn renews the leases of the worker's jobs. A broker that is away stops the turns: what was
drawn last is published when it is back, and jobs that others took meanwhile are let go.

Jobs that a worker may have died of wait in quarantine (`engine.quarantine`).
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Collection, Iterable

from ancestral.broker import (
    BrokerUnavailable,
    Delivery,
    Lane,
    Publication,
    WorkerQueue,
    WorkerReport,
)
from ancestral.broker.queue import control_queue
from ancestral.engine.limits import Limits
from ancestral.engine.metrics import WorkerMetrics
from ancestral.engine.quarantine import Quarantine
from ancestral.engine.residents import Loader, Resident, Residents
from ancestral.engine.shares import Shares

logger = logging.getLogger("ancestral.engine")

IDLE_SECONDS = 0.25  # longest sleep between turns
SHORTEST_TURN = 0.005  # seconds; below it publishing would cost more than stepping
AWAY_SECONDS = 0.5  # between attempts to reach a broker that is away
Contender = tuple[str, Lane]


class Worker:
    """Runs `turn` in a thread between `start` and `stop`; tests may call `turn` themselves.

    `preload` is loaded at the start, as far as the memory goes, and `offers` when somebody asks.
    `serves` are the names that it may be asked to load, all where there are none.
    """

    def __init__(
        self,
        queue: WorkerQueue,
        loader: Loader,
        metrics: WorkerMetrics,
        limits: Limits | None = None,
        preload: Iterable[str] = (),
        serves: Iterable[str] = (),
        offers: Iterable[str] = (),
    ) -> None:
        self.name = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:4]}"
        self.steps = 0
        self._queue, self._metrics = queue, metrics
        self._limits = limits or Limits()
        self._residents = Residents(loader, self._limits, metrics, queue.wake)
        self._residents.preload(preload)
        self._residents.offer(offers)
        self._serves = tuple(serves)
        self._shares: Shares[Contender] = Shares()
        self._unsaid: list[Publication] = []  # what is to be published
        self._quarantine = Quarantine()
        self._open: set[str] = set()  # models that had room for more jobs at the last pull
        self._draining = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self.told = WorkerReport(self.name, 0, {})  # the last heartbeat; any thread may read it
        with contextlib.suppress(BrokerUnavailable):
            self._heartbeat()  # says what will be served

    def start(self) -> None:
        self._thread.start()

    @property
    def loading(self) -> bool:
        """Whether a model is being read or compiled."""
        return self._residents.loading

    def drain(self, seconds: float, hurry: threading.Event) -> None:
        """Take no more jobs; wait for those that run, for `seconds` or until there is hurry."""
        self._draining.set()
        end = time.monotonic() + seconds
        while self._thread.is_alive() and time.monotonic() < end:
            if not any(resident.active for _, resident in self._residents) or hurry.wait(0.05):
                return

    def close(self) -> None:
        """Begin no more loads; for who takes the turns himself."""
        self._residents.close()

    def stop(self, timeout: float = 10.0) -> None:
        """End after the turn that runs; what is unfinished goes to other workers."""
        self._stopping.set()
        self._queue.wake()
        self._thread.join(timeout)
        self._residents.close()
        if self._thread.is_alive():
            return  # a very long turn: its leases will expire
        try:
            self._publish()
            held = dict(self._quarantine.jobs)
            for _, resident in self._residents:
                held |= resident.jobs
            self._queue.release(self.name, held)
            self._queue.leave(self.name)
        except BrokerUnavailable:
            logger.warning("the broker is away; leases are left to expire")

    def _run(self) -> None:
        away = False
        while not self._stopping.is_set():
            try:
                pause = self.turn()
                if away:
                    logger.info("the broker is back")
                away = False
            except BrokerUnavailable as error:
                if not away:
                    logger.warning("the broker is away: %s", error)
                away = True
                self._stopping.wait(AWAY_SECONDS)
                continue
            except Exception:  # a fault of the worker itself must not end it silently
                logger.exception("a turn failed")
                pause = IDLE_SECONDS
            if pause > 0:
                self._queue.wait(pause)

    def turn(self) -> float:
        """One turn; the seconds that may pass before the next one."""
        self.steps += 1
        self._metrics.steps.inc()
        if self._unsaid:  # the broker was away
            self._publish()
        self._obey()
        if not self._draining.is_set():
            self._pull()
        pause = self._work()
        for _, resident in self._residents:
            self._unsaid += resident.batch.take() + resident.scores.take()
            resident.batch.report()
        self._unsaid += self._residents.poll()
        self._heartbeat()  # first, so that who is told of a load or unload sees its outcome
        self._publish()
        return pause

    def _publish(self) -> None:
        if not self._unsaid:
            return
        refused = self._queue.publish(self._unsaid)
        self._quarantine.heard(self._unsaid, refused)
        self._unsaid.clear()
        if refused:
            logger.warning("jobs taken over by others: %s", ", ".join(sorted(refused)))
            self._forget(refused)

    def _forget(self, jobs: Collection[str]) -> None:
        for _, resident in self._residents:
            resident.batch.forget(jobs)
            resident.scores.forget(jobs)

    def _obey(self) -> None:
        """End and pause what readers asked to be."""
        held = [*self._quarantine.jobs]
        held += [job for _, resident in self._residents for job in resident.jobs]
        if not held:
            return
        asked = self._queue.asked(held)
        self._unsaid += self._quarantine.drop(asked.canceled)
        for _, resident in self._residents:
            resident.batch.drop(asked.canceled)
            resident.scores.drop(asked.canceled)
            resident.batch.pause(asked.paused)

    def _pull(self) -> None:
        residents = dict(self._residents)
        wants: dict[tuple[str, Lane], int] = {(control_queue(self.name), "control"): 8}
        for label, resident in residents.items():
            rooms: dict[tuple[str, Lane], int] = {
                (label, "sample"): resident.batch.room,
                (label, "score"): resident.scores.room,
            }
            resident.dry = all(rooms.values()) and not self._quarantine.full
            wants |= {where: n for where, n in rooms.items() if n and not self._quarantine.full}
        self._open = {label for label, lane in wants if lane == "sample"}
        for label in self._quarantine.models & residents.keys():
            residents[label].dry = False
        for delivery in self._queue.pull(self.name, wants):
            job = delivery.job
            if job.lane == "control":
                self._unsaid += self._residents.control(delivery)
                continue
            residents[job.model].dry = False
            self._forget([job.id])  # where our own lease had expired
            if delivery.suspect:
                self._quarantine.add(delivery)
            else:
                _admit(residents[job.model], delivery)
        tried = self._quarantine.next(residents)
        if tried is not None:
            self._queue.risk(tried.job.id, tried.attempt)
            _admit(residents[tried.job.model], tried)

    def _work(self) -> float:
        residents = dict(self._residents)
        contenders: list[Contender] = []
        due = IDLE_SECONDS
        for label, resident in residents.items():
            if resident.batch.active:
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
            if lane == "sample":
                resident.batch.turn(budget, lambda: self._queue.stirred(self._open))
            else:
                resident.scores.turn(budget)
        except Exception as error:  # of the batch itself: those of jobs are dealt with inside
            logger.exception("model %s: its %s jobs are given up", label, lane)
            jobs.abandon(error)
        self._shares.charge(chosen, time.monotonic() - before)
        return 0.0

    def _heartbeat(self) -> None:
        self.told = WorkerReport(self.name, self.steps, self._residents.report(), self._serves)
        self._queue.renew(self.told)


def _admit(resident: Resident, delivery: Delivery) -> None:
    (resident.batch if delivery.job.lane == "sample" else resident.scores).admit(delivery)
