"""Time a model's sampler, its scoring and the naive loop on the same items, in one run.

Sampling runs for a window of seconds and is multiplied up where an item takes longer; passes of
scoring are timed before and after it and the fastest counts. Where the machine is shared, the
processor's clock (`cpu`) keeps the ratios of single-threaded work from those who share it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from ancestral.bench.machine import (
    CLOCKS,
    Clock,
    Machine,
    fastest,
    forget_peak_memory,
    peak_memory,
    seconds,
    stream_rate,
)
from ancestral.bench.row import Row
from ancestral.compile.program import StepProgram
from ancestral.engine.model import Model
from ancestral.engine.parity import first_conditions, random_values
from ancestral.engine.runtimes import RuntimeKind
from ancestral.models.data import whole_frames
from ancestral.models.rounding import BYTES
from ancestral.runtimes.base import Runtime, SlotRequest

BATCHES = (1, 4, 16, 64)
WINDOW = 5.0  # seconds of sampling timed at most
NAIVE_SITES = 3  # forward passes timed of the naive loop; the rest is multiplied up
_SCORE_REPEATS = 3  # passes timed before sampling and again after it; the fastest counts
_CHUNK = 16  # sites of a call of `Runtime.step`


def measure(
    model: Model,
    machine: Machine,
    batches: Sequence[int] = BATCHES,
    kinds: Sequence[str] = ("reference",),
    *,
    sites: int | None = None,
    window: float = WINDOW,
    seed: int = 0,
) -> Iterator[Row]:
    """Time each batch size on each runtime. `sites` shortens items of open length."""
    clock = CLOCKS[machine.clock]
    length = model.sites_of(sites if model.manifest.data.length is not None else None)
    length = whole_frames(length, model.conditions)
    conditions = first_conditions(model, length)
    for batch in batches:
        codes = _items(model, batch, length)
        for kind in kinds:
            forward, scorer = _score(model, codes, conditions, clock)
            runtime = _warm(model, kind, batch, length, conditions, machine.threads)
            requests = [
                SlotRequest(seed=seed, item=item, sites=length, conditions=conditions)
                for item in range(batch)
            ]
            size = _weight_bytes(model, runtime)
            rate = None if size is None else stream_rate(size, clock)
            forget_peak_memory()
            first, elapsed, timed = sample(runtime, requests, window, clock)
            memory = peak_memory()
            again = _score(model, codes, conditions, clock)
            naive_sites = min(NAIVE_SITES, length)
            naive = seconds(partial(_naive_sites, model, codes, conditions, naive_sites), clock)
            sampling = elapsed * length / timed
            if size is not None and rate is not None:
                rate = max(rate, stream_rate(size, clock))
            macs = batch * _macs(model, length)
            yield Row(
                family=model.manifest.family,
                model=model.name,
                asked=kind,
                runtime=runtime.name,
                derived=runtime.derived,
                batch=batch,
                sites=length,
                dimensions=length * model.data.dims_per_site,
                sites_timed=timed,
                sample_seconds=sampling,
                forward_seconds=min(forward, again[0]),
                scorer_seconds=min(scorer, again[1]),
                naive_seconds=naive * length / naive_sites,
                naive_sites_timed=naive_sites,
                first_frame_seconds=first,
                macs=macs,
                peak_share=2 * macs / sampling / machine.flops,
                weight_bytes=size,
                stream_rate=rate,
                peak_bytes=memory,
            )


def sample(
    runtime: Runtime,
    requests: Sequence[SlotRequest],
    window: float,
    clock: Clock = time.perf_counter,
    most: int | None = None,
) -> tuple[float, float, int]:
    """Seconds to the first value, seconds in all, and the sites of each item drawn in them.

    Stops at the end of the items, after `most` sites or at the end of the window.
    """
    most = requests[0].sites if most is None else most
    start = clock()
    slots = [runtime.open(request) for request in requests]
    drawn = dict.fromkeys(slots, 0)
    first = 0.0
    while min(drawn.values()) < most:
        for advance in runtime.step(_CHUNK if first else 1):
            drawn[advance.slot] += len(advance.values)
        elapsed = clock() - start
        first = first or elapsed
        if elapsed > window:
            break
    elapsed = clock() - start
    for slot in slots:
        runtime.close(slot)
    return first, elapsed, min(drawn.values())


def _warm(
    model: Model,
    kind: str,
    batch: int,
    sites: int,
    conditions: tuple[torch.Tensor, ...],
    cores: int,
) -> Runtime:
    """A runtime that has drawn a site: what is compiled on first use has been."""
    runtime = model.new_runtime(batch, cast(RuntimeKind, kind), cores)
    slot = runtime.open(SlotRequest(seed=1, item=0, sites=sites, conditions=conditions))
    runtime.step(1)
    runtime.close(slot)
    return runtime


def _items(model: Model, batch: int, sites: int) -> torch.Tensor:
    """Items to score, of random values: what a pass costs does not depend on them."""
    items = [model.item_of(random_values(model, sites, seed)) for seed in range(batch)]
    codes = torch.from_numpy(np.stack(items))
    return codes if model.likelihood.discrete else codes.float()


def _score(
    model: Model, codes: torch.Tensor, conditions: tuple[torch.Tensor, ...], clock: Clock
) -> tuple[float, float]:
    """Seconds of a forward pass of the items, and of scoring them: the fastest of some."""
    rows = [c.expand(len(codes), *c.shape[1:]) for c in conditions]

    def forward() -> None:
        with torch.inference_mode():
            for network in [member.network for member in model.members] or [model.network]:
                network(codes, *rows)

    return (
        fastest(forward, _SCORE_REPEATS, clock),
        fastest(partial(model.scorer.per_dim, codes, conditions), _SCORE_REPEATS, clock),
    )


def _macs(model: Model, sites: int) -> int:
    """Multiply-adds to sample an item by the step program; of an ensemble, of the first member."""
    program = model.program
    return 0 if program is None else program.macs_per_item(sites)


def _weight_bytes(model: Model, runtime: Runtime) -> int | None:
    """Bytes of the matrices, as `--weights` has them, where every site reads each once.

    That is a program over time; None where it is none.
    """
    program = model.program
    over_time = isinstance(program, StepProgram) and not program.row_steps and program.subs == 1
    if not over_time or not runtime.derived:
        return None
    count = sum(
        weight.numel()
        for module in model.network.modules()
        if not isinstance(module, nn.Embedding)
        for weight in module.parameters(recurse=False)
        if weight.dim() > 1 and isinstance(module, nn.Linear | nn.Conv1d)
    )
    return count * BYTES[model.package.weights] or None


def _naive_sites(
    model: Model, codes: torch.Tensor, conditions: Sequence[torch.Tensor], sites: int
) -> None:
    """The loop that everybody starts from, for the first sites: a pass of the batch each."""
    network: Any = model.members[0].network if model.members else model.network
    likelihood = model.likelihood
    conditions = [c.expand(len(codes), *c.shape[1:]) for c in conditions]
    values = model.data.to_sites(torch.zeros_like(codes))
    dims = values.shape[2]
    noise = torch.full((len(codes), dims, 2), 0.5, dtype=torch.float64)
    substeps = [slice(0, dims)] if likelihood.joint else [slice(d, d + 1) for d in range(dims)]
    with torch.inference_mode():
        for site in range(sites):
            for some in substeps:
                params = network(model.data.from_sites(values), *conditions)
                params = params.reshape(*values.shape[:2], *params.shape[-2:])[:, site]
                params = params if likelihood.joint else params[:, some]
                drawn = likelihood.sample(params.double(), noise[:, some])
                values[:, site, some] = drawn.to(values.dtype)
