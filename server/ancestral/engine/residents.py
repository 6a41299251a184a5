"""The models that a worker holds, within its memory.

What is not loaded is loaded when somebody asks for it. Where the memory (`Limits.memory`) does not
hold it too, those models leave that have been idle longest; they come back when asked for. A model
that is about to leave says so in the heartbeat (`on_demand`) and pulls once more: a job that was
submitted before finds it still here, and whoever submits one later asks for a load. One that is
unloaded by request is `leaving`: no more jobs are submitted for it, and it stays until a pull finds
none that waits, so that what was accepted is done.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ancestral.broker import Delivery, ModelReport, Publication
from ancestral.engine.batch import RunningBatch
from ancestral.engine.limits import Limits
from ancestral.engine.loads import Load, Loads
from ancestral.engine.metrics import WorkerMetrics
from ancestral.engine.model import Model, load
from ancestral.engine.score_batches import ScoreBatches
from ancestral.engine.work import refusal

logger = logging.getLogger("ancestral.engine")
Loader = Callable[[str], Model]  # NAME/VERSION -> the model, compiled


@dataclass(slots=True)
class Resident:
    """One model in service: its running batch and its scoring passes."""

    model: Model
    batch: RunningBatch
    scores: ScoreBatches
    leaving: list[Delivery] = field(default_factory=list)  # asked to unload it
    dry: bool = True  # no job of it waited at the last pull
    used: float = 0.0  # when it was last busy, by the worker's clock
    yielding: bool = False  # makes room for others unless a job comes first

    @property
    def jobs(self) -> Mapping[str, int]:
        """Which attempt at each job this is."""
        return {**self.batch.jobs, **self.scores.jobs}

    @property
    def bytes(self) -> int:
        return self.batch.bytes

    @property
    def busy(self) -> bool:
        return self.batch.busy or self.scores.busy

    @property
    def active(self) -> bool:
        """Busy, and not only with what is paused."""
        return self.batch.active or self.scores.busy


def package_loader(
    root: Path, runtime: str | None = None, weights: str | None = None, cores: int | None = None
) -> Loader:
    """Load from a store and compile, so that the first request does not wait for it."""

    def read(label: str) -> Model:
        model = load(label, root, runtime=runtime, weights=weights, cores=cores)
        model.prepare()
        return model

    return read


class Residents:
    """Loads and unloads on request; `poll` brings finished loads into service."""

    def __init__(
        self,
        loader: Loader,
        limits: Limits,
        metrics: WorkerMetrics,
        wake: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._loader, self._limits, self._metrics = loader, limits, metrics
        self._clock = clock
        self._loads: Loads[Resident] = Loads(self._open, wake)
        self._failed: dict[str, str] = {}
        self._ready: dict[str, Resident] = {}
        self._offered: set[str] = set()  # not loaded, but will be for whoever asks
        self._known: dict[str, int] = {}  # bytes of what was loaded before

    def __iter__(self) -> Iterator[tuple[str, Resident]]:
        return iter(list(self._ready.items()))

    def preload(self, labels: Iterable[str]) -> None:
        """Load these when the worker starts, as far as the memory goes."""
        for label in labels:
            self._load(label, None)

    def offer(self, labels: Iterable[str]) -> None:
        """Load these when somebody asks."""
        self._offered.update(labels)

    def control(self, delivery: Delivery) -> list[Publication]:
        """Take up a load or unload job."""
        job = delivery.job
        label = str(job.request["model"])
        resident = self._ready.get(label)
        if job.request["action"] == "load":
            if resident is None:
                self._load(label, delivery)
                return []
            resident.yielding, resident.used = False, self._clock()
            return [_done(delivery)]
        if resident is None:
            self._failed.pop(label, None)
            self._offered.discard(label)
            return [_done(delivery)]
        resident.leaving.append(delivery)
        resident.dry = False  # until a pull after the heartbeat that says so
        return []

    def poll(self) -> list[Publication]:
        """Loads that finished, and models that have left. To be called after each pull."""
        out: list[Publication] = []
        for label, resident in self:
            if resident.busy:
                resident.used, resident.yielding = self._clock(), False
            elif resident.dry and (resident.leaving or resident.yielding):
                del self._ready[label]
                if not resident.leaving:
                    logger.info("unloaded %s to make room", label)
                    self._offered.add(label)
                out += [_done(delivery) for delivery in resident.leaving]
                self._metrics.slots_total.labels(label).set(0)
        ended = self._loads.ended()
        if ended is not None:
            out += self._arrive(ended)
        self._make_room(0)
        load = self._loads.next()
        if load is not None:
            out += self._begin(load)
        return out

    def report(self) -> dict[str, ModelReport]:
        """Every model as the heartbeat tells it."""
        found = {label: ModelReport("on_demand") for label in self._offered}
        found |= {
            label: ModelReport("failed", error=error) for label, error in self._failed.items()
        }
        found |= {label: ModelReport("loading") for label in self._loads}
        for label, resident in self._ready.items():
            found[label] = ModelReport(
                state="leaving" if resident.leaving else "ready",
                derived=resident.model.derived,
                runtime=resident.batch.runtime,
                fingerprint=resident.model.fingerprint,
                slots_total=resident.batch.footprint.slots,
                bytes=resident.bytes,
                slots_in_use=resident.batch.slots_in_use,
            )
            if resident.yielding:
                found[label] = ModelReport("on_demand")
        return found

    @property
    def loading(self) -> bool:
        """Whether a load is under way; it cannot be broken off."""
        return self._loads.running

    def close(self) -> None:
        """Begin no more loads; one that is under way is not waited for."""
        self._loads.close()

    # Loads and the memory that they need.

    def _load(self, label: str, delivery: Delivery | None) -> None:
        self._failed.pop(label, None)
        self._offered.discard(label)
        self._loads.add(label, delivery)

    def _begin(self, load: Load[Resident]) -> list[Publication]:
        """Begin a load, if what is known of its size allows it."""
        need = self._known.get(load.label, 0)
        if not self._room_for(need, load):
            self._loads.drop(load)
            return self._refuse(load)
        self._make_room(need)
        waiting = len(list(self._loads)) - 1
        logger.info("loading %s (%d more wait)", load.label, waiting)
        self._loads.begin(load)
        return []

    def _arrive(self, load: Load[Resident]) -> list[Publication]:
        assert load.future is not None
        label, error = load.label, load.future.exception()
        if error is not None:
            logger.error("cannot load %s: %s", label, error)
            self._failed[label] = str(error)
            why = refusal(422, "The package cannot be served", str(error), ("model",))
            return [Publication(d.job.id, d.attempt, "failed", why) for d in load.waiting]
        resident = load.future.result()
        self._known[label] = resident.bytes
        if not self._room_for(resident.bytes, load):
            return self._refuse(load)
        self._make_room(resident.bytes)
        resident.used = self._clock()
        self._ready[label] = resident
        return [_done(delivery) for delivery in load.waiting]

    def _refuse(self, load: Load[Resident]) -> list[Publication]:
        """There is no room now: it is offered again."""
        self._offered.add(load.label)
        if not load.waiting:
            logger.info("the memory is full: all other models are loaded on demand")
            for other in self._loads.ahead():
                self._loads.drop(other)
                self._offered.add(other.label)
            return []
        detail = f"model: the memory that {load.label} needs is taken by models at work"
        why = refusal(503, "No memory is free", detail, ("model",))
        return [Publication(d.job.id, d.attempt, "failed", why) for d in load.waiting]

    def _room_for(self, need: int, load: Load[Resident]) -> bool:
        """Whether so many bytes are free, or will be; nobody leaves for what is loaded ahead."""
        staying = (
            resident.bytes for _, resident in self
            if not resident.yielding and (not load.waiting or resident.busy or resident.leaving)
        )  # fmt: skip
        return sum(staying) + need <= self._limits.memory

    def _make_room(self, need: int) -> None:
        """Have those leave that were idle longest, until so many bytes are free."""
        staying = [resident for _, resident in self if not resident.yielding]
        excess = sum(resident.bytes for resident in staying) + need - self._limits.memory
        for resident in sorted(staying, key=lambda resident: resident.used):
            if excess <= 0:
                return
            if not resident.busy and not resident.leaving:
                resident.yielding = True
                excess -= resident.bytes

    def _open(self, label: str) -> Resident:
        before = time.monotonic()
        model = self._loader(label)
        batch = RunningBatch(model, self._limits, self._metrics)  # compiles
        self._metrics.load.labels(label).observe(time.monotonic() - before)
        batch.report()
        logger.info("loaded %s as %s", label, model.fingerprint)
        return Resident(model, batch, ScoreBatches(model, self._limits, self._metrics))


def _done(delivery: Delivery) -> Publication:
    return Publication(delivery.job.id, delivery.attempt, "done", dict(delivery.job.request))
