"""`ancestral verify`: the invariants of a sampler, checked on one package and one runtime.

1. Step parity: the sampler's params are the forward pass's, for at most 1.05 of its arithmetic.
2. One likelihood: what the sampler accumulates is what scoring says of the finished item.
3. Neighbour independence: an item is the same alone and among others that come and go.
4. Seeds mean something: the same request gives the same values, another seed others.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from ancestral.compile import CausalityError, ParityError, StepProgram
from ancestral.engine.model import Model, RuntimeKind
from ancestral.engine.parity import (
    Drawn,
    finish,
    first_conditions,
    forward_params,
    random_values,
    step_params,
)
from ancestral.runtimes.base import SlotRequest
from ancestral.runtimes.reference import ReferenceRuntime

FLOAT64_LIMIT = 1e-10  # of the params' scale
FLOAT32_LIMIT = 1e-4
ARITHMETIC_LIMIT = 1.05  # of one forward pass
OPEN_SITES = 256  # of items of open length
NAIVE_SITES = 16  # drawn by the naive runtime, behind a known prefix: each costs a forward pass


@dataclass(frozen=True, slots=True)
class Check:
    """One invariant's verdict; `value` is what was measured against `limit`."""

    name: str
    ok: bool
    value: float | None = None
    limit: float | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    model: str
    runtime: str
    derived: bool
    sites: int
    seconds: float
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"ok": self.ok}


def verify(model: Model, kind: RuntimeKind = "reference", sites: int | None = None) -> Report:
    """All checks, one after the other; `sites` is the length of items of open length."""
    start = time.perf_counter()
    length = _length(model, sites)
    checks = tuple(run_checks(model, kind, length))
    derived = kind == "reference" and checks[0].ok
    return Report(
        model=f"{model.name}/{model.version}",
        runtime=kind if derived else "naive",
        derived=derived,
        sites=length,
        seconds=time.perf_counter() - start,
        checks=checks,
    )


def run_checks(
    model: Model, kind: RuntimeKind = "reference", sites: int | None = None
) -> Iterator[Check]:
    """The checks as they are done; those that do not apply to the runtime are left out."""
    length = _length(model, sites)
    if kind == "reference":
        try:
            program = model.program
        except (CausalityError, ParityError) as error:
            yield Check("derived", False, detail=str(error))
            return
        yield _derived(program, model.fallback_reason)
        if program is not None:
            yield _parity(model, program, length, torch.float64, FLOAT64_LIMIT)
            yield _parity(model, program, length, torch.float32, FLOAT32_LIMIT)
            yield _arithmetic(model, program, length)
    probe = _Probe(model, kind, length)
    alone = probe.alone(seed=1, item=1)
    yield from probe.one_likelihood(alone)
    yield probe.neighbours(alone)
    yield probe.seeds(alone)


def _length(model: Model, sites: int | None) -> int:
    bounds = model.manifest.data.length
    if sites is None and bounds is not None:
        return min(OPEN_SITES, bounds.maximum)
    return model.sites_of(sites)


def _derived(program: StepProgram | None, fallback_reason: str | None) -> Check:
    if program is None:
        return Check("derived", False, detail=f"fallback: {fallback_reason}")
    per_row, per_site = len(program.row_steps), len(program.site_steps)
    return Check("derived", True, detail=f"causal; {per_site} steps a site, {per_row} a row")


def _parity(
    model: Model, program: StepProgram, sites: int, dtype: torch.dtype, limit: float
) -> Check:
    values = random_values(model, sites)
    found = step_params(model, program, values, dtype)
    wanted = forward_params(model, values, dtype)
    error = float((found - wanted).abs().max() / wanted.abs().max())
    precision = str(dtype).removeprefix("torch.")
    return Check(
        f"step parity, {precision}",
        error <= limit,
        error,
        limit,
        f"largest difference over {found.numel()} params, of their largest",
    )


def _arithmetic(model: Model, program: StepProgram, sites: int) -> Check:
    """Multiply-adds that torch counts while one item is drawn, over those of its forward pass."""
    conditions = first_conditions(model, sites)
    runtime = ReferenceRuntime(program, model.network, 1)
    with _counter() as stepped:
        slot = runtime.open(SlotRequest(seed=0, item=0, sites=sites, conditions=conditions))
        finish(runtime, slot, sites)
    with _counter() as once:
        forward_params(model, random_values(model, sites), torch.float64)
    ratio = stepped.get_total_flops() / once.get_total_flops()
    return Check(
        "arithmetic",
        ratio <= ARITHMETIC_LIMIT,
        ratio,
        ARITHMETIC_LIMIT,
        f"{stepped.get_total_flops() // 2:,} multiply-adds an item, "
        f"{program.macs_per_item(sites):,} by the program's own count",
    )


def _counter() -> FlopCounterMode:
    """Torch's counter, taught the attention that torch uses on a CPU."""

    def count(query: torch.Size, key: torch.Size, value: torch.Size, *_: Any, **__: Any) -> int:
        batch, heads, queries, width = query  # both products, two flops a multiply-add
        return int(2 * batch * heads * queries * key[2] * (width + value[3]))

    fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    return FlopCounterMode(display=False, custom_mapping={fused: count})


# The sampler as its users see it.


class _Probe:
    """Draws items in several company; the naive runtime draws the last sites of each only."""

    def __init__(self, model: Model, kind: RuntimeKind, sites: int) -> None:
        self.model = model
        self.kind = kind
        self.sites = sites
        self.naive = kind == "naive" or not model.derived
        drawn = min(NAIVE_SITES, sites) if self.naive else sites
        self.known = random_values(model, sites)
        self.mask = np.zeros(self.known.shape, dtype=np.bool_)
        self.mask[: sites - drawn] = True

    def request(self, seed: int, item: int) -> SlotRequest:
        return SlotRequest(
            seed=seed,
            item=item,
            sites=self.sites,
            conditions=first_conditions(self.model, self.sites),
            known=self.known,
            known_mask=self.mask,
        )

    def alone(self, seed: int, item: int) -> Drawn:
        runtime = self.model.new_runtime(1, self.kind)
        slot = runtime.open(self.request(seed, item))
        return finish(runtime, slot, self.sites)

    def one_likelihood(self, alone: Drawn) -> Iterator[Check]:
        model = self.model
        exact = model.likelihood.log_prob(
            forward_params(model, alone.values, torch.float64), torch.from_numpy(alone.values)
        )
        error = float(np.abs(alone.log_prob - exact.numpy()).max())
        limit = FLOAT64_LIMIT * max(1.0, float(exact.abs().max()))
        yield Check(
            "one likelihood, by site", error <= limit, error, limit, "nats; forward in float64"
        )
        item = torch.from_numpy(model.item_of(alone.values))[None]
        if model.data.levels is None:
            item = item.float()
        scored = float(model.scorer.per_dim(item, first_conditions(model, self.sites)).sum())
        error = abs(float(alone.log_prob.sum()) - scored) / max(1.0, abs(scored))
        yield Check(
            "one likelihood, total", error <= FLOAT32_LIMIT, error, FLOAT32_LIMIT, "of the score"
        )

    def neighbours(self, alone: Drawn) -> Check:
        """The item again, joining late between two others, one of which leaves early."""
        runtime = self.model.new_runtime(3, self.kind)
        early = runtime.open(self.request(seed=1, item=0))
        runtime.step(2 if self.naive else runtime.phase_sites + 1)
        slot = runtime.open(self.request(seed=1, item=1))
        runtime.open(self.request(seed=2, item=0))
        seen = list(runtime.step(3))
        runtime.close(early)
        among = finish(runtime, slot, self.sites, [a for a in seen if a.slot == slot])
        differing = int((among.values != alone.values).sum())
        error = float(np.abs(among.log_prob - alone.log_prob).max())
        limit = FLOAT64_LIMIT * max(1.0, float(np.abs(alone.log_prob).max()))
        return Check(
            "neighbour independence",
            differing == 0 and error <= limit,
            error,
            limit,
            f"{differing} values differ; nats",
        )

    def seeds(self, alone: Drawn) -> Check:
        again = self.alone(seed=1, item=1)
        other = self.alone(seed=7, item=1)
        same = bool((again.values == alone.values).all()) and bool(
            (again.log_prob == alone.log_prob).all()
        )
        differs = bool((other.values != alone.values).any())
        return Check(
            "seeds",
            same and differs,
            detail=f"{'bit-exact' if same else 'not bit-exact'} again, "
            f"another seed {'differs' if differs else 'does not differ'}",
        )
