"""A worker as a process of its own, which takes its jobs from a broker that others share."""

from __future__ import annotations

import logging
import os
import random
import signal
import threading
from pathlib import Path
from types import FrameType

from prometheus_client import CollectorRegistry

from ancestral.broker import WorkerQueue
from ancestral.broker.connect import worker_queue
from ancestral.engine.limits import Limits
from ancestral.engine.metrics import WorkerMetrics
from ancestral.engine.monitor import Monitor, Pulse
from ancestral.engine.residents import Loader, package_loader
from ancestral.engine.worker import Worker
from ancestral.settings import Settings
from ancestral.store import find, list_packages, read_manifest

logger = logging.getLogger("ancestral.engine")


def labels(settings: Settings) -> list[str]:
    """NAME/VERSION of what is served. Raises PackageError for an unknown name."""
    if not settings.wanted:
        return [f"{entry.name}/{entry.default}" for entry in list_packages(settings.models)]
    found = [read_manifest(find(name, settings.models)) for name in settings.wanted]
    return [manifest.label for manifest in found]


def preloaded(settings: Settings, served: list[str]) -> list[str]:
    """Those that are loaded at the start, in that order. Raises ValueError for one not served.

    Workers that share a broker load `all` in an order of their own each: so they compile different
    ones at a time for all (`store.graph_cache`), and hold different ones where none holds all.
    """
    wanted = settings.ahead
    if wanted == ["none"]:
        return []
    if wanted == ["all"]:
        return random.sample(served, len(served)) if settings.broker else served
    by_name = {label.partition("/")[0]: label for label in served}
    for name in wanted:
        if name not in by_name:
            raise ValueError(
                f"ANCESTRAL_PRELOAD (--preload): {name} is not among the packages that are served"
            )
    return [by_name[name] for name in wanted]


def limits(settings: Settings) -> Limits:
    """What a worker with these settings may take up."""
    return Limits(
        slots=settings.slots,
        slot_bytes=settings.slot_memory_bytes,
        memory=settings.memory_bytes,
    )


def warn_of_cache(folder: Path) -> None:
    """Say it where what is compiled cannot be kept; it works without, if slowly."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return
        reason = "Permission denied"
    except OSError as error:
        reason = error.strerror or str(error)
    logger.warning("%s (ANCESTRAL_CACHE): %s; every start compiles all over again", folder, reason)


def new_worker(
    settings: Settings,
    queue: WorkerQueue,
    registry: CollectorRegistry,
    loader: Loader | None = None,
) -> Worker:
    """A worker that loads the packages of the settings."""
    warn_of_cache(settings.cache)
    served = labels(settings)
    ahead = preloaded(settings, served)
    return Worker(
        queue,
        loader
        or package_loader(settings.models, settings.runtime, settings.weights, settings.cores),
        WorkerMetrics(registry),
        limits(settings),
        preload=ahead,
        offers=[label for label in served if label not in ahead],
        serves=sorted({name.partition("/")[0] for name in settings.wanted}),
    )


def work(settings: Settings, *, metrics_port: int | None = None) -> None:
    """Work until SIGTERM or SIGINT; then finish what runs, or hand it over after some seconds.

    A second signal hands over at once. A model that is being loaded is not waited for: then the
    process ends here.
    """
    asked, again = threading.Event(), threading.Event()

    def stop(signum: int, frame: FrameType | None) -> None:
        (again if asked.is_set() else asked).set()

    for number in (signal.SIGTERM, signal.SIGINT):  # before models load
        signal.signal(number, stop)
    registry = CollectorRegistry()
    monitor = None if metrics_port is None else Monitor(metrics_port, registry)
    worker = new_worker(settings, worker_queue(settings), registry)
    if monitor is not None:
        watch(worker, monitor, asked)
    worker.start()
    logger.info("%s works", worker.name)
    asked.wait()
    logger.info("%s drains", worker.name)
    worker.drain(settings.drain_seconds, again)
    worker.stop()
    logger.info("%s has ended", worker.name)
    leave(worker)


def leave(worker: Worker) -> None:
    """End the process if a model is being loaded still: its thread cannot be broken off."""
    if worker.loading:
        logging.shutdown()
        os._exit(0)


def watch(worker: Worker, monitor: Monitor, draining: threading.Event) -> None:
    """Let a monitor tell of a worker.

    It is live while its step counter advances, and ready from when all that it was started with
    has loaded until it drains.
    """
    pulse = Pulse(lambda: worker.steps)
    loaded = threading.Event()

    def ready() -> list[str]:
        if draining.is_set():
            return ["draining"]
        reasons = pulse.reasons()
        if not loaded.is_set():
            models = worker.told.models
            reasons += [
                f"{label}: {report.error or report.state}"
                for label, report in models.items()
                if report.state in ("loading", "failed")
            ]
            if worker.steps and not reasons:
                loaded.set()
        return reasons

    monitor.live, monitor.ready = pulse.reasons, ready
