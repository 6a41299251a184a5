"""`ancestral bench`: what sampling costs beside scoring, in ratios within one run.

sample/score is the time to sample a batch over the time of one teacher-forced pass of the same
batch. The naive loop (one forward pass of the batch for every site and channel) stands beside it,
timed over a few sites and multiplied up: the table says so.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from rich.table import Table

from ancestral.engine.model import Model
from ancestral.engine.parity import first_conditions
from ancestral.engine.sampling import drive
from ancestral.models.data import whole_frames
from ancestral.runtimes.base import SlotRequest

BATCHES = (1, 4, 16)
NAIVE_SITES = 3  # forward passes timed of the naive loop; the rest is multiplied up
SCORE_REPEATS = 3  # passes timed; their median counts


@dataclass(frozen=True, slots=True)
class BenchRow:
    """One batch size; times in seconds for the whole batch."""

    model: str
    batch: int
    sites: int
    dimensions: int
    score_seconds: float
    sample_seconds: float
    naive_seconds: float  # extrapolated from `naive_sites_timed` sites
    naive_sites_timed: int
    runtime: str
    derived: bool

    @property
    def sample_score(self) -> float:
        return self.sample_seconds / self.score_seconds

    @property
    def naive_score(self) -> float:
        return self.naive_seconds / self.score_seconds

    @property
    def sites_per_second(self) -> float:
        return self.batch * self.sites / self.sample_seconds

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {
            "sample_score": self.sample_score,
            "naive_score": self.naive_score,
            "sites_per_second": self.sites_per_second,
        }


def bench(
    model: Model, batches: Sequence[int] = BATCHES, *, sites: int | None = None, seed: int = 0
) -> Iterator[BenchRow]:
    """Time each batch size in turn. `sites` shortens items of open length (None: the default).

    They are rounded up to whole values of every series.
    """
    length = whole_frames(model.sites_of(sites), model.conditions)
    conditions = first_conditions(model, length)
    for batch in batches:
        runtime = model.new_runtime(batch)
        requests = [
            SlotRequest(seed=seed, item=item, sites=length, conditions=conditions)
            for item in range(batch)
        ]
        start = time.perf_counter()
        parts: dict[int, list[npt.NDArray[Any]]] = {}
        for chunk in drive(runtime, requests, 64):
            parts.setdefault(chunk.item, []).append(chunk.values)
        sample_seconds = time.perf_counter() - start
        items = [model.item_of(np.concatenate(parts[item])) for item in range(batch)]
        codes = torch.from_numpy(np.stack(items))
        codes = codes if model.likelihood.discrete else codes.float()
        score = statistics.median(
            _seconds(partial(model.scorer.per_dim, codes, conditions)) for _ in range(SCORE_REPEATS)
        )
        timed = min(NAIVE_SITES, length)
        naive = _seconds(partial(_naive_sites, model, codes, conditions, timed))
        yield BenchRow(
            model=f"{model.name}/{model.version}",
            batch=batch,
            sites=length,
            dimensions=length * model.data.dims_per_site,
            score_seconds=score,
            sample_seconds=sample_seconds,
            naive_seconds=naive * length / timed,
            naive_sites_timed=timed,
            runtime=runtime.name,
            derived=runtime.derived,
        )


def _naive_sites(
    model: Model, codes: torch.Tensor, conditions: Sequence[torch.Tensor], sites: int
) -> None:
    """The loop that everybody starts from, for the first sites: a pass of the batch each."""
    network, likelihood = model.network, model.likelihood
    conditions = [c.expand(len(codes), *c.shape[1:]) for c in conditions]
    values = model.data.to_sites(torch.zeros_like(codes))
    noise = torch.full((len(codes), values.shape[2], 2), 0.5, dtype=torch.float64)
    dims = values.shape[2]
    substeps = [slice(0, dims)] if likelihood.joint else [slice(d, d + 1) for d in range(dims)]
    with torch.inference_mode():
        for site in range(sites):
            for some in substeps:
                params = network(model.data.from_sites(values), *conditions)
                params = params.reshape(*values.shape[:2], *params.shape[-2:])[:, site]
                params = params if likelihood.joint else params[:, some]
                drawn = likelihood.sample(params.double(), noise[:, some])
                values[:, site, some] = drawn.to(values.dtype)


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def table(rows: Sequence[BenchRow]) -> Table:
    """The rows for a terminal."""
    found = Table(
        title="sample/score: time to sample a batch over one teacher-forced pass of it",
        caption=f"naive loop: extrapolated from its first {NAIVE_SITES} sites; "
        f"{torch.get_num_threads()} threads; sampling in float64 (native: float32), "
        "scoring in float32",
    )
    found.add_column("model")
    for heading in ("batch", "sites", "score s", "sample s", "sample/score"):
        found.add_column(heading, justify="right")
    for heading in ("sites/s", "naive s", "naive/score", "runtime"):
        found.add_column(heading, justify="right")
    for row in rows:
        found.add_row(
            row.model,
            str(row.batch),
            str(row.sites),
            f"{row.score_seconds:.3f}",
            f"{row.sample_seconds:.2f}",
            f"{row.sample_score:.1f}",
            f"{row.sites_per_second:,.0f}",
            f"~{row.naive_seconds:,.1f}",
            f"~{row.naive_score:,.0f}",
            f"{row.runtime} ({'derived' if row.derived else 'fallback'})",
        )
    return found
