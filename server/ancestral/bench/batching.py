"""`ancestral bench batching`: what the engine makes of a runtime, by the processor's time.

Two questions of one model. How many sites a second come out of a worker that serves so many
streams, beside the same runtime called directly. And how full the running batch is when jobs come
as a Poisson process: the slots that advance at each step, beside the jobs that are there; and how
long one that comes late waits for its first step.

Everything runs in this thread, and time is what it has computed: others on the machine change
neither ratio.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry
from rich.table import Table

from ancestral.bench.load import percentiles
from ancestral.bench.machine import Clock
from ancestral.broker import Delivery, Job, MemoryQueue
from ancestral.engine.batch import RunningBatch
from ancestral.engine.limits import Limits
from ancestral.engine.metrics import WorkerMetrics
from ancestral.engine.model import Model
from ancestral.engine.request import checked_sample
from ancestral.engine.worker import Worker
from ancestral.runtimes.base import Advance, SlotRequest

CHUNK = 256  # sites of a step of the runtime alone


@dataclass(slots=True)
class Batching:
    """What was seen; waits of late joiners in steps of the batch, and to their first values in s.

    direct, worker   sites a second
    occupancy        mean slots that advance
    demand           mean jobs that are there, as many as there are slots at most
    phase            steps between two places where a sequence can join
    """

    model: str
    runtime: str
    slots: int
    sites: int
    load: float
    phase: int = 1
    direct: float = 0.0
    worker: float = 0.0
    occupancy: float = 0.0
    demand: float = 0.0
    waits: list[int] = field(default_factory=list)
    first: list[float] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "runtime": self.runtime,
            "slots": self.slots,
            "sites": self.sites,
            "load": self.load,
            "direct_sites_per_second": self.direct,
            "worker_sites_per_second": self.worker,
            "worker_over_direct": self.worker / self.direct,
            "mean_occupancy": self.occupancy,
            "mean_demand": self.demand,
            "occupancy_over_demand": self.occupancy / self.demand,
            "phase_steps": self.phase,
            "longest_wait_steps": max(self.waits, default=0),
            "first_output_seconds": percentiles(self.first),
        }


def batching(
    model: Model,
    *,
    slots: int,
    load: float,
    jobs: int,
    sites: int | None,
    seconds: float,
    clock: Clock,
    tell: Callable[[int, str], None] = lambda jobs, words: None,
) -> Batching:
    """Measure one model; raises ValueError for one that needs more than labels.

    `tell` hears how many jobs more have come, and what is being measured.
    """
    length = length_of(model, sites)
    runtime = model.new_runtime(slots)
    found = Batching(model.name, runtime.name, slots, length, load, runtime.phase_sites)
    tell(0, f"{model.name}: the runtime alone")
    found.direct = direct(model, slots, length, seconds, clock)
    tell(0, f"{model.name}: a worker")
    found.worker = through_worker(model, slots, length, seconds, clock)
    tell(0, f"{model.name}: jobs that come by chance")
    _arrivals(model, found, jobs, clock, tell)
    return found


def length_of(model: Model, sites: int | None) -> int:
    """Sites of an item: `sites` where the length is open."""
    return model.sites_of(sites) if model.manifest.data.length else model.default_sites


def direct(model: Model, slots: int, sites: int, seconds: float, clock: Clock) -> float:
    """Sites a second of a runtime with every slot taken; a finished item is followed by another."""
    runtime = model.new_runtime(slots)
    rows = model.conditions_from(_labels(model))

    items = itertools.count()

    def advance() -> int:
        while runtime.free:
            request = SlotRequest(seed=1, item=next(items), sites=sites, conditions=rows)
            runtime.open(request)
        advances = runtime.step(CHUNK)
        for each in advances:
            if each.done:
                runtime.close(each.slot)
        return sum(len(each.values) for each in advances)

    advance()  # what happens once has happened
    drawn, start = 0, clock()
    while clock() - start < seconds:
        drawn += advance()
    return drawn / (clock() - start)


def through_worker(model: Model, streams: int, sites: int, seconds: float, clock: Clock) -> float:
    """Sites a second of a worker's turns while so many jobs run, one followed by another."""
    registry, queue, label = CollectorRegistry(), MemoryQueue(), model.label
    worker = Worker(
        queue, lambda _: model, WorkerMetrics(registry), Limits(slots=streams), preload=[label]
    )
    numbers = iter(range(2**32))
    try:
        while worker.told.models[label].state != "ready":
            if worker.told.models[label].error:
                raise ValueError(worker.told.models[label].error)
            queue.wait(worker.turn())

        def count(name: str, **labels: str) -> int:
            return int(registry.get_sample_value(f"ancestral_{name}", labels) or 0)

        def ended() -> int:
            return count("request_success_total", model=label, finish_reason="done")

        def drawn() -> int:
            return count("sites_generated_total", model=label)

        submitted, busy, before = 0, 0.0, 0
        while busy < seconds:
            for _ in range(streams + ended() - submitted):
                asyncio.run(queue.submit(_job(model, sites, next(numbers))))
                submitted += 1
            start = clock()
            worker.turn()
            if not before:  # the first turn says nothing
                before = drawn()
                continue
            busy += clock() - start
        return (drawn() - before) / busy
    finally:
        worker.close()


class _Watched(RunningBatch):
    """A running batch that says, slice by slice, what each job gained."""

    watch: Callable[[dict[int, int], float], None]

    def __init__(self, model: Model, limits: Limits, clock: Clock) -> None:
        super().__init__(model, limits, WorkerMetrics(CollectorRegistry()), clock, clock)

    def advance(self, sites: int) -> Sequence[Advance]:
        start = self._clock()
        found = super().advance(sites)
        self.watch({each.slot: len(each.values) for each in found}, start)
        return found


def _arrivals(
    model: Model, found: Batching, jobs: int, clock: Clock, tell: Callable[[int, str], None]
) -> None:
    """Jobs of one item each come as a Poisson process of the load that was asked for."""
    limits = Limits(slots=found.slots)
    batch = _Watched(model, limits, clock)
    rate = found.load * found.direct / found.sites
    arrivals = _poisson(random.Random(0), rate, jobs)
    coming = next(arrivals, None)
    numbers = itertools.count()
    came: dict[str, float] = {}
    there: set[str] = set()
    given: dict[str, int] = {}  # sites that the batch has advanced by when a job had its slot
    steps = occupied = wanted = 0.0
    shift = -clock()  # idle time is skipped

    def watch(gained: dict[int, int], start: float) -> None:
        nonlocal steps, occupied, wanted
        count, begun, end = max(gained.values(), default=0), start + shift, clock() + shift
        late = 0.0 if coming is None else max(0.0, end - max(begun, coming)) / (end - begun)
        steps += count
        occupied += sum(gained.values())
        wanted += count * min(found.slots, len(there) + late)

    def stirred() -> bool:
        return coming is not None and coming <= clock() + shift

    batch.watch = watch
    while coming is not None or there:
        now = clock() + shift
        if not there and coming is not None and coming > now:
            shift += coming - now
            now = coming
        while coming is not None and coming <= now:
            job = _job(model, found.sites, next(numbers))
            came[job.id] = coming
            there.add(job.id)
            batch.admit(Delivery(job, 1))
            coming = next(arrivals, None)
        before = steps
        batch.turn(limits.frame_seconds, stirred)
        end = clock() + shift
        for publication in batch.take():
            if publication.event == "started":
                given[publication.job] = int(before)
            elif publication.event == "output" and publication.job in given:
                waited = int(steps) - given.pop(publication.job) - publication.data["count"]
                found.waits.append(waited)
                found.first.append(end - came[publication.job])
            elif publication.event in ("done", "failed"):
                there.discard(publication.job)
                tell(1, f"{model.name}: jobs that come by chance")
    found.occupancy, found.demand = occupied / steps, wanted / steps


def _poisson(draw: random.Random, rate: float, jobs: int) -> Iterator[float]:
    at = 0.0
    for _ in range(jobs):
        at += draw.expovariate(rate)
        yield at


def _labels(model: Model) -> dict[str, Any] | None:
    """The first of every label. Raises ValueError for models that need more."""
    for spec in model.conditions:
        if spec.kind != "label":
            raise ValueError(f"{model.name} needs a {spec.kind}: choose another model")
    return {spec.name: 0 for spec in model.conditions} or None


def _job(model: Model, sites: int, number: int) -> Job:
    length = sites if model.manifest.data.length else None
    request = checked_sample(
        model.manifest, count=1, seed=number, sites=length, condition=_labels(model)
    )
    label = model.label
    return Job(str(number), label, "sample", request.to_json(), submitted=0.0)


def batching_table(rows: list[Batching]) -> Table:
    """What was seen, for a terminal."""
    found = Table(
        title="the engine beside its runtime, one thread, processor time",
        caption="worker/direct: sites/s of a worker with as many streams as slots over those of "
        "the runtime alone. occupancy: slots that advance at a step, of the jobs that are there, "
        "which come as a Poisson process. wait: the longest of a late joiner, in steps.",
    )
    columns: dict[str, Callable[[Batching], str]] = {
        "model": lambda row: row.model,
        "runtime": lambda row: row.runtime,
        "slots": lambda row: str(row.slots),
        "direct": lambda row: f"{row.direct:,.0f}",
        "worker": lambda row: f"{row.worker:,.0f}",
        "worker/direct": lambda row: f"{row.worker / row.direct:.2f}",
        "load": lambda row: f"{row.load:.0%}",
        "occupancy": lambda row: f"{row.occupancy:.1f} of {row.demand:.1f}",
        "share": lambda row: f"{row.occupancy / row.demand:.2f}",
        "wait": lambda row: f"{max(row.waits, default=0)} of {row.phase}",
        "first ms p95": lambda row: f"{1000 * percentiles(row.first).get('p95', 0):.0f}",
    }
    for name in columns:
        found.add_column(name, justify="left" if name in ("model", "runtime") else "right")
    for row in rows:
        found.add_row(*(show(row) for show in columns.values()))
    return found
