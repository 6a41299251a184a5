"""Loading on demand within a memory budget: who loads, who leaves, who is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.engine.jobs import delivered, sample_job

import ancestral
from ancestral.broker import Delivery, Job, Publication
from ancestral.engine.footprint import footprint
from ancestral.engine.limits import Limits
from ancestral.engine.metrics import WorkerMetrics
from ancestral.engine.model import Model
from ancestral.engine.residents import Residents

NAMES = ("tiny-made", "tiny-pixelcnn", "tiny-wavenet")
Make = Callable[[bool], "Bench"]


class Bench:
    """Residents of three models; all fit, or the largest does with none beside it."""

    def __init__(self, models: dict[str, Model], all_fit: bool, metrics: WorkerMetrics) -> None:
        sizes = {name: footprint(model, Limits(slots=2)).total for name, model in models.items()}
        self.large, *_, small = sorted(sizes, key=lambda name: -sizes[name])
        self.small = small
        memory = sum(sizes.values()) if all_fit else sizes[self.large] + sizes[small] // 2
        limits = Limits(slots=2, memory=memory)
        self.models, self.now = models, 0.0
        self.residents = Residents(
            lambda label: models[label], limits, metrics, clock=lambda: self.now
        )

    def settle(self) -> list[Publication]:
        """Polls until nothing is being loaded and nobody is about to leave."""
        found: list[Publication] = []
        for _ in range(100_000):
            self.now += 1
            found += self.residents.poll()
            states = {report.state for report in self.residents.report().values()}
            leaving = any(resident.yielding for _, resident in self.residents)
            if "loading" not in states and not leaving:
                return found
        raise AssertionError("it does not settle")

    def control(self, action: str, name: str) -> Delivery:
        job = Job(f"{action} {name}", "control", "control", {"action": action, "model": name})
        found = delivered(job)
        self.said = self.residents.control(found)
        return found

    @property
    def states(self) -> dict[str, str]:
        return {label: report.state for label, report in self.residents.report().items()}

    def ready(self) -> list[str]:
        return sorted(label for label, state in self.states.items() if state == "ready")


@pytest.fixture(scope="module")
def models(packages: Path) -> dict[str, Model]:
    return {f"{name}/1": ancestral.load(name, root=packages) for name in NAMES}


@pytest.fixture
def make(models: dict[str, Model], metrics: WorkerMetrics) -> Iterator[Make]:
    made: list[Bench] = []

    def build(all_fit: bool) -> Bench:
        made.append(Bench(models, all_fit, metrics))
        return made[-1]

    yield build
    for bench in made:
        bench.residents.close()


def test_what_fits_is_loaded_ahead_and_the_rest_is_offered(make: Make) -> None:
    bench = make(False)
    bench.residents.preload([bench.large, bench.small])
    bench.residents.offer(["nobody/1"])
    assert bench.states == {bench.large: "loading", bench.small: "loading", "nobody/1": "on_demand"}
    bench.settle()
    assert bench.states == {bench.large: "ready", bench.small: "on_demand", "nobody/1": "on_demand"}


def test_who_asks_is_loaded_first(make: Make) -> None:
    bench = make(True)
    bench.residents.preload(["tiny-pixelcnn/1", "tiny-made/1"])
    bench.residents.offer(["tiny-wavenet/1"])
    bench.residents.poll()  # the first is under way
    asked = bench.control("load", "tiny-wavenet/1")
    found: list[Publication] = []
    while not found:
        found = bench.residents.poll()
    assert [(p.job, p.event) for p in found] == [(asked.job.id, "done")]
    assert bench.states["tiny-made/1"] == "loading"
    bench.settle()
    assert len(bench.ready()) == 3


def test_the_longest_idle_leaves_for_one_that_is_asked_for(make: Make) -> None:
    bench = make(False)
    for name in (bench.large, bench.small, bench.large):
        bench.control("load", name)
        (done,) = bench.settle()
        assert done.event == "done"
        assert bench.ready() == [name]
    assert bench.states[bench.small] == "on_demand"
    bench.control("unload", bench.small)  # it is not even offered then
    assert bench.small not in bench.states


def test_models_at_work_stay(make: Make) -> None:
    bench = make(False)
    bench.control("load", bench.large)
    bench.settle()
    (resident,) = (resident for _, resident in bench.residents)
    resident.batch.admit(delivered(sample_job(resident.model)))
    bench.control("load", bench.small)
    (refused,) = bench.settle()
    assert (refused.event, refused.data["status"]) == ("failed", 503)
    assert bench.states == {bench.large: "ready", bench.small: "on_demand"}
    resident.batch.abandon(ValueError("enough"))
    bench.control("load", bench.small)
    (done,) = bench.settle()
    assert done.event == "done"


def test_a_job_that_comes_first_keeps_its_model(make: Make) -> None:
    bench = make(False)
    bench.control("load", bench.large)
    bench.settle()
    (resident,) = (resident for _, resident in bench.residents)
    resident.yielding = True
    assert bench.states[bench.large] == "on_demand"  # said before it goes
    resident.batch.admit(delivered(sample_job(resident.model)))  # pulled once more
    bench.residents.poll()
    assert bench.ready() == [bench.large]
