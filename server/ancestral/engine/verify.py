"""`ancestral verify`: the invariants of a sampler, checked on one package and one runtime.

1. Step parity: the sampler's params are the forward pass's, for at most 1.05 of its arithmetic.
2. One likelihood: what the sampler accumulates is what scoring says of the finished item.
3. Neighbour independence: an item is the same alone and among others that come and go.
4. Seeds mean something: the same request gives the same values, another seed others; and an item
   goes on as it would have from a prefix or from values that are replayed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from ancestral.compile import CausalityError, ParityError, Program
from ancestral.engine.model import Model
from ancestral.engine.parity import (
    finish,
    first_conditions,
    forward_params,
    random_values,
    step_params,
)
from ancestral.engine.precision import cost
from ancestral.engine.probe import FLOAT32_KINDS, FLOAT32_LIMIT, FLOAT64_LIMIT, Check, Probe
from ancestral.engine.rounded import rounding
from ancestral.engine.runtimes import RuntimeKind
from ancestral.models.data import whole_frames
from ancestral.runtimes.base import SlotRequest
from ancestral.runtimes.reference import ReferenceRuntime
from ancestral.runtimes.running import Batch
from ancestral.train.splits import Split

ARITHMETIC_LIMIT = 1.05  # of one forward pass
OPEN_SITES = 256  # of items of open length


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


def verify(
    model: Model,
    kind: RuntimeKind = "reference",
    sites: int | None = None,
    items: Split | None = None,
) -> Report:
    """All checks, one after the other; `sites` is the length of items of open length.

    What rounded weights cost is measured on `items`, or on some that are drawn for it.
    """
    start = time.perf_counter()
    length = _length(model, sites)
    checks = tuple(run_checks(model, kind, length))
    if model.package.weights != "float32":
        checks = (*checks, rounding(model, length, items))
    derived = kind != "naive" and all(c.ok for c in checks if c.name.startswith("derived"))
    return Report(
        model=model.label,
        runtime=model.stands_in(kind) if derived else "naive",
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
    if model.members:
        yield from _ensemble_checks(model, kind, length)
        return
    if kind != "naive":
        try:
            program = model.program
        except (CausalityError, ParityError) as error:
            yield Check("derived", False, detail=str(error))
            return
        yield _derived(program, model.fallback_reason)
        runtime = model.new_runtime(1, kind)
        if runtime.name == "cuda" and model.place.precision != "float32":
            yield cost(model, kind, length)
            return
        if program is not None and runtime.name in FLOAT32_KINDS:
            assert isinstance(runtime, ReferenceRuntime)
            yield _parity(model, program, length, torch.float32, FLOAT32_LIMIT, runtime.batch)
        elif program is not None:
            yield _parity(model, program, length, torch.float64, FLOAT64_LIMIT)
            yield _parity(model, program, length, torch.float32, FLOAT32_LIMIT)
            yield _arithmetic(model, program, length)
    yield from Probe(model, kind, length).checks()


def _ensemble_checks(model: Model, kind: RuntimeKind, sites: int) -> Iterator[Check]:
    """All checks under the first order; of the others, what differs with the order: the program."""
    for name, member in zip(model.manifest.orders, model.members, strict=True):
        for check in run_checks(member, kind, sites):
            if check.name == "one likelihood, by site" and member is not model.members[0]:
                break
            yield replace(check, name=f"{check.name}, order {name}")
    item = torch.from_numpy(model.members[0].item_of(random_values(model, sites)))
    values = model.data.to_sites(item[None])
    each = []
    for member in model.members:
        by_rank = values[0, member.order]
        params = forward_params(member, by_rank.numpy(), torch.float64)
        each.append(member.likelihood.log_prob(params, by_rank).sum())
    wanted = float(torch.stack(each).logsumexp(0)) - math.log(len(each))
    codes = item[None] if model.likelihood.discrete else item[None].float()
    found = float(model.scorer.per_dim(codes, first_conditions(model, sites)).sum())
    error = abs(found - wanted) / max(1.0, abs(wanted))
    yield Check("one likelihood, ensemble", error <= FLOAT32_LIMIT, error, FLOAT32_LIMIT,
                "of the mean of the members' likelihoods")  # fmt: skip


def _length(model: Model, sites: int | None) -> int:
    bounds = model.manifest.data.length
    if sites is None and bounds is not None:
        return whole_frames(min(OPEN_SITES, bounds.maximum), model.conditions)
    return whole_frames(model.sites_of(sites), model.conditions)


def _derived(program: Program | None, fallback_reason: str | None) -> Check:
    if program is None:
        return Check("derived", False, detail=f"fallback: {fallback_reason}")
    return Check("derived", True, detail=f"causal; {program.summary}")


def _parity(
    model: Model,
    program: Program,
    sites: int,
    dtype: torch.dtype,
    limit: float,
    batch: Batch | None = None,
) -> Check:
    values = random_values(model, sites)
    found = step_params(model, program, values, dtype, batch)
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


def _arithmetic(model: Model, program: Program, sites: int) -> Check:
    """Multiply-adds that torch counts while one item is drawn, over those of its forward pass."""
    conditions = first_conditions(model, sites)
    runtime = ReferenceRuntime(program, model.network, 1)
    with _counter() as stepped:
        slot = runtime.open(SlotRequest(seed=0, item=0, sites=sites, conditions=conditions))
        finish(runtime, slot, sites)
    with _counter() as once:
        forward_params(model, random_values(model, sites), torch.float64)
    ratio = stepped.get_total_flops() / max(
        once.get_total_flops(), 1
    )  # sums alone have no products
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
