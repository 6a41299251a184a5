"""The models that a worker holds: loaded and compiled in a thread beside the running batches."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ancestral.broker import Delivery, ModelReport, Publication
from ancestral.engine.batch import RunningBatch
from ancestral.engine.limits import Limits
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
    leaving: list[Delivery]  # who asked to unload it; it takes no more jobs then

    @property
    def jobs(self) -> Mapping[str, int]:
        """Which attempt at each job this is."""
        return {**self.batch.jobs, **self.scores.jobs}

    @property
    def busy(self) -> bool:
        return self.batch.busy or self.scores.busy


def package_loader(root: Path, runtime: str | None = None, weights: str | None = None) -> Loader:
    """Load from a store and compile, so that the first request does not wait for it."""

    def read(label: str) -> Model:
        model = load(label, root, runtime=runtime, weights=weights)
        model.prepare()
        logger.info("loaded %s as %s", label, model.fingerprint)
        return model

    return read


class Residents:
    """Loads and unloads on request; `poll` brings finished loads into service."""

    def __init__(self, loader: Loader, limits: Limits, metrics: WorkerMetrics) -> None:
        self._loader, self._limits, self._metrics = loader, limits, metrics
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="ancestral-load")
        self._loading: dict[str, tuple[Future[Resident], list[Delivery]]] = {}
        self._failed: dict[str, str] = {}
        self._ready: dict[str, Resident] = {}

    def __iter__(self) -> Iterator[tuple[str, Resident]]:
        return iter(list(self._ready.items()))

    def preload(self, labels: Iterable[str]) -> None:
        """Load these when the worker starts."""
        for label in labels:
            self._load(label, None)

    def control(self, delivery: Delivery) -> list[Publication]:
        """Take up a load or unload job."""
        job = delivery.job
        label = str(job.request["model"])
        if job.request["action"] == "load":
            if label in self._ready:
                return [_done(delivery)]
            self._load(label, delivery)
            return []
        resident = self._ready.get(label)
        if resident is None:
            self._failed.pop(label, None)
            return [_done(delivery)]
        resident.leaving.append(delivery)
        return []

    def poll(self) -> list[Publication]:
        """Loads that finished, and models that have left."""
        out: list[Publication] = []
        for label, (future, waiting) in list(self._loading.items()):
            if not future.done():
                continue
            del self._loading[label]
            error = future.exception()
            if error is None:
                self._ready[label] = future.result()
                out += [_done(delivery) for delivery in waiting]
            else:
                logger.error("cannot load %s: %s", label, error)
                self._failed[label] = str(error)
                why = refusal(422, "The package cannot be served", str(error), ("model",))
                out += [Publication(d.job.id, d.attempt, "failed", why) for d in waiting]
        for label, resident in list(self._ready.items()):
            if resident.leaving and not resident.busy:
                del self._ready[label]
                out += [_done(delivery) for delivery in resident.leaving]
        return out

    def report(self) -> dict[str, ModelReport]:
        """Every model as the heartbeat tells it."""
        found = {label: ModelReport("failed", error=error) for label, error in self._failed.items()}
        found |= {label: ModelReport("loading") for label in self._loading}
        for label, resident in self._ready.items():
            found[label] = ModelReport(
                state="leaving" if resident.leaving else "ready",
                derived=resident.model.derived,
                runtime=resident.batch.runtime,
                fingerprint=resident.model.fingerprint,
                slots_total=resident.batch.footprint.slots,
                bytes=resident.batch.footprint.total,
                slots_in_use=resident.batch.slots_in_use,
            )
        return found

    @property
    def loading(self) -> bool:
        """Whether a load is under way; it cannot be broken off."""
        return any(not future.done() for future, _ in self._loading.values())

    def close(self) -> None:
        """Begin no more loads; one that is under way is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _load(self, label: str, delivery: Delivery | None) -> None:
        self._failed.pop(label, None)
        if label not in self._loading:
            self._loading[label] = (self._threads.submit(self._open, label), [])
        if delivery is not None:
            self._loading[label][1].append(delivery)

    def _open(self, label: str) -> Resident:
        before = time.monotonic()
        model = self._loader(label)
        batch = RunningBatch(model, self._limits, self._metrics)  # compiles
        self._metrics.load.labels(label).observe(time.monotonic() - before)
        batch.report()
        scores = ScoreBatches(model, self._limits, self._metrics)
        return Resident(model, batch, scores, [])


def _done(delivery: Delivery) -> Publication:
    return Publication(delivery.job.id, delivery.attempt, "done", dict(delivery.job.request))
