"""Where the time of the native runtime goes: every operation of a step, in its place, by ticks.

Each operation is timed where it runs, with the caches as those before it leave them. The same
items are drawn a few times; an operation's time is the least that it took in any of them, so that
what others do on the machine does not count. The whole is timed without counting.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.table import Table

from ancestral.engine.model import Model
from ancestral.engine.parity import first_conditions
from ancestral.models.data import whole_frames
from ancestral.runtimes.base import Runtime, SlotRequest
from ancestral.runtimes.native.batch import NativeBatch
from ancestral.runtimes.native.code.counted import rate
from ancestral.runtimes.native.counting import Counts, labels
from ancestral.runtimes.native.elements import NativeElements

_TURNS = 7  # the least of so many counts
_CHUNK = 16  # sites timed together


@dataclass(frozen=True, slots=True)
class Share:
    """Operations of one kind: how many a site runs, and microseconds a site of all slots."""

    operation: str
    count: float
    microseconds: float


@dataclass(frozen=True, slots=True)
class Profile:
    """`whole`: microseconds of a site of all slots, of which `shares` are the parts."""

    model: str
    batch: int
    sites: int
    whole: float
    shares: Sequence[Share]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def profile(model: Model, batch: int, sites: int) -> Profile:
    """Draw `sites` of a batch. Raises ValueError where the native runtime does not sample it."""
    length = model.sites_of(sites + 1 if model.manifest.data.length is not None else None)
    length = whole_frames(length, model.conditions)
    conditions = first_conditions(model, length)
    runtime = model.new_runtime(batch, "native", 1)
    running = getattr(runtime, "batch", None)
    if not isinstance(running, NativeBatch | NativeElements):
        raise ValueError(f"{model.name}: only programs of the native runtime can be profiled")
    sites = min(sites, length - 1) // _CHUNK * _CHUNK
    requests = [
        SlotRequest(seed=1, item=item, sites=length, conditions=conditions) for item in range(batch)
    ]
    whole = np.array([[took for took, _ in _turn(runtime, requests, sites)] for _ in range(_TURNS)])
    names, found = labels(running), Counts(running)
    counts = np.array(
        [[ticks for _, ticks in _turn(runtime, requests, sites, found)] for _ in range(_TURNS)]
    )
    microseconds = counts.min(0).sum(0) / rate() * 1e6 / sites
    ran = (counts[0] > 0).sum(0) * _CHUNK / sites
    kinds: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for name, count, spent in zip(names, ran, microseconds, strict=True):
        kinds[name][0] += count
        kinds[name][1] += spent
    elapsed = float(whole.min(0).sum()) * 1e6 / sites
    shares = [Share(name, *both) for name, both in kinds.items() if both[0]]
    shares.sort(key=lambda share: -share.microseconds)
    rest = elapsed - sum(share.microseconds for share in shares)
    shares.append(Share("the rest: between operations, and in Python", 1, rest))
    return Profile(model.name, batch, sites, elapsed, shares)


def _turn(
    runtime: Runtime, requests: Sequence[SlotRequest], sites: int, counts: Counts | None = None
) -> Iterator[tuple[float, Any]]:
    """Draw the items, a few sites at a time: seconds of them, and ticks where they are counted."""
    slots = [runtime.open(request) for request in requests]
    runtime.step(1)  # the slots join
    for _ in range(sites // _CHUNK):
        if counts is not None:
            counts.reset()
        start = time.thread_time()
        runtime.step(_CHUNK)
        yield time.thread_time() - start, None if counts is None else counts.ticks.copy()
    for slot in slots:
        runtime.close(slot)


def profile_table(found: Profile) -> Table:
    """A profile for a terminal."""
    table = Table(
        title=f"{found.model}, batch {found.batch}: {found.whole:,.0f} µs a site of all slots",
        caption=f"the least of {_TURNS} turns over {found.sites} sites, native runtime, one thread",
    )
    table.add_column("operation")
    for heading in ("a site", "µs", "share"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in found.shares:
        table.add_row(row.operation, *_figures(row, found))
    return table


def profile_markdown(found: Profile) -> str:
    """A profile as the documentation shows it."""
    lines = ["| operation | a site | µs | share |", "|---|---:|---:|---:|"]
    for row in found.shares:
        lines.append(f"| {row.operation} | {' | '.join(_figures(row, found))} |")
    return "\n".join(lines)


def _figures(row: Share, found: Profile) -> tuple[str, str, str]:
    share = row.microseconds / found.whole
    return f"{row.count:.3g}", f"{row.microseconds:.1f}", f"{share:.1%}"
