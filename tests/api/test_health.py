from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.api.conftest import AS_FLEET
from tests.api.server import Server

from ancestral.api.health import STALE_SECONDS, StepWatch
from ancestral.broker import WorkerReport


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def report(steps: int) -> list[WorkerReport]:
    return [WorkerReport("w", steps, {})]


def test_a_worker_whose_counter_stands_still_is_stuck() -> None:
    clock = Clock()
    watch = StepWatch(clock)
    assert watch.stuck(report(1)) == []
    clock.now += STALE_SECONDS
    assert watch.stuck(report(1)) == []  # a long turn is no hang
    clock.now += 1
    assert watch.stuck(report(1)) == ["w"]
    assert watch.stuck(report(2)) == []
    clock.now += 10 * STALE_SECONDS
    assert watch.stuck(report(3)) == []  # nobody asked meanwhile, but it went on


def test_live_and_ready(server: Server) -> None:
    assert server.client.get("/health/live").json() == {"status": "live"}
    assert server.client.get("/health/ready").json() == {"status": "ready", "reasons": []}


@pytest.mark.skipif(AS_FLEET, reason="workers have their metrics on ports of their own")
def test_metrics_are_prometheus(server: Server) -> None:
    made = {"model": "tiny-made", "count": 2}
    server.standstill()
    before = server.metric("ancestral_sites_generated_total", model="tiny-made/1")
    server.post("/sample", made)
    server.post("/log_prob", {"model": "tiny-made", "inputs": [[0] * 6]})
    assert server.metric("ancestral_sites_generated_total", model="tiny-made/1") == before + 12
    text = server.client.get("/metrics").text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    wanted = """requests_running requests_waiting requests_waiting_oldest_seconds
    request_success sites_generated dimensions_scored
    iteration_batch_size time_to_first_output_seconds inter_output_seconds request_queue_seconds
    request_prefill_seconds request_sample_seconds request_e2e_seconds slots_in_use slots_total
    cache_bytes model_load_seconds worker_steps build_info admission_rejections"""
    assert {f"ancestral_{name}" for name in wanted.split()} <= set(families)
    labels = {label for f in families.values() for sample in f.samples for label in sample.labels}
    assert labels <= {
        "model", "lane", "le", "finish_reason", "reason", "version", "python",
    }  # fmt: skip


@pytest.mark.skipif(AS_FLEET, reason="workers have their metrics on ports of their own")
def test_the_step_counter_advances(server: Server) -> None:
    before = server.metric("ancestral_worker_steps_total")
    server.post("/sample", {"model": "tiny-made"})
    assert server.metric("ancestral_worker_steps_total") > before
