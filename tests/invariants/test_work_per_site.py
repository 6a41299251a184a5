"""A site costs the same wherever it lies in an item: the shipped packages of open length."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

import ancestral
from ancestral.engine.parity import first_conditions
from ancestral.runtimes.base import SlotRequest
from ancestral.runtimes.reference import ReferenceRuntime
from ancestral.store import list_packages

STORE = Path(__file__).parents[2] / "models_store"
EARLY, LATE, RUN = 520, 1400, 16  # sites; all caches are full at the first
ATTENTION = {"scores", "mix", "attend"}


class Calls(TorchDispatchMode):
    """Counts the operators that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        self.counts[str(func)] += 1
        return func(*args, **(kwargs or {}))


def open_ended() -> list[str]:
    names = [entry.name for entry in list_packages(STORE)]
    return [n for n in names if ancestral.load(n, root=STORE).manifest.data.length is not None]


@pytest.mark.parametrize("name", open_ended())
def test_a_late_site_costs_what_an_early_one_does(name: str) -> None:
    model = ancestral.load(name, root=STORE)
    program = model.program
    assert program is not None
    if any(step.kind in ATTENTION for step in program.steps):
        pytest.skip("attention reads its past")
    sites = LATE + 2 * RUN
    runtime = ReferenceRuntime(program, model.network, 1)
    conditions = first_conditions(model, sites)
    runtime.open(SlotRequest(seed=0, item=0, sites=sites, conditions=conditions))
    work: list[tuple[Counter[str], int]] = []
    for start in (EARLY, LATE):
        at = 0 if start == EARLY else EARLY + RUN
        runtime.step(start - at)
        with Calls() as calls, FlopCounterMode(display=False) as flops:
            runtime.step(RUN)
        work.append((calls.counts, flops.get_total_flops()))
    (early, early_flops), (late, late_flops) = work
    assert early_flops == late_flops > 0
    # nearly: some views are remembered from the last time round
    assert sum(early.values()) == pytest.approx(sum(late.values()), rel=0.05)
