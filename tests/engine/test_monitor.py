from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from ancestral.broker import MemoryQueue
from ancestral.engine.limits import Limits
from ancestral.engine.metrics import WorkerMetrics
from ancestral.engine.model import Model
from ancestral.engine.monitor import STALE_SECONDS, Monitor, Pulse
from ancestral.engine.process import watch
from ancestral.engine.worker import Worker


@contextmanager
def monitored(registry: CollectorRegistry) -> Iterator[tuple[Monitor, httpx.Client]]:
    monitor = Monitor(0, registry, "127.0.0.1")
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{monitor.port}", timeout=60) as client:
            yield monitor, client
    finally:
        monitor.close()


def test_a_worker_is_ready_from_its_last_load_until_it_drains(wavenet: Model) -> None:
    registry, draining, may_load = CollectorRegistry(), threading.Event(), threading.Event()

    def loader(label: str) -> Model:
        may_load.wait(600)
        return wavenet

    with monitored(registry) as (monitor, client):
        assert client.get("/health/ready").json()["reasons"] == ["starting"]
        worker = Worker(
            MemoryQueue(), loader, WorkerMetrics(registry), Limits(), ["long-wavenet/1"]
        )
        watch(worker, monitor, draining)
        worker.turn()
        answer = client.get("/health/ready")
        assert answer.status_code == 503
        assert answer.json()["reasons"] == ["long-wavenet/1: loading"]
        assert worker.loading
        may_load.set()
        while worker.told.models["long-wavenet/1"].state == "loading":
            worker.turn()
        assert client.get("/health/ready").json() == {"status": "ready", "reasons": []}
        draining.set()
        assert client.get("/health/ready").json()["reasons"] == ["draining"]
        assert client.get("/health/live").status_code == 200
        families = text_string_to_metric_families(client.get("/metrics").text)
        steps = {s.name: s.value for f in families for s in f.samples if "model" not in s.labels}
        assert steps["ancestral_worker_steps_total"] == worker.steps
        assert client.get("/elsewhere").status_code == 404


def test_a_package_that_cannot_be_served_is_told() -> None:
    def loader(label: str) -> Model:
        raise ValueError("its weights are missing")

    registry = CollectorRegistry()
    with monitored(registry) as (monitor, client):
        worker = Worker(MemoryQueue(), loader, WorkerMetrics(registry), Limits(), ["broken/1"])
        watch(worker, monitor, threading.Event())
        while worker.told.models["broken/1"].state == "loading":
            worker.turn()
        assert client.get("/health/ready").json()["reasons"] == [
            "broken/1: its weights are missing"
        ]


def test_a_counter_that_stands_still_is_not_alive() -> None:
    now, steps = 0.0, 7
    pulse = Pulse(lambda: steps, lambda: now)
    now = STALE_SECONDS
    assert pulse.reasons() == []
    now += 1
    assert pulse.reasons() == ["stands still"]
    steps += 1
    assert pulse.reasons() == []
