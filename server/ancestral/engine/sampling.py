"""Drive a runtime through a list of items, as one library call does."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ancestral.engine.display import samples_html, samples_png
from ancestral.runtimes.base import Advance, Nats, Runtime, SlotRequest
from ancestral.store.manifest import Data

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive sites of one item from `first_site` on, in generation order."""

    item: int
    first_site: int
    values: Array  # [count, dims]
    log_prob: Nats  # [count, dims]
    given: npt.NDArray[np.bool_]  # [count, dims]: known, not sampled
    done: bool
    member: int = 0  # of an ensemble: the order that draws the item


@dataclass(frozen=True, slots=True)
class Samples:
    """Finished items and what the model says of them; `log_prob` in nats."""

    items: Array  # [count, *shape]
    log_prob: npt.NDArray[np.float64]  # [count], of all sites
    sampled_log_prob: npt.NDArray[np.float64]  # [count], of the values that were not given
    bits_per_dim: npt.NDArray[np.float64]  # [count]
    seed: int
    fingerprint: str
    derived: bool
    orders: tuple[str, ...] | None = None  # of an ensemble: the one that drew each item
    data: Data | None = None  # what items are, and how files of them are written

    def _repr_html_(self) -> str:
        """For notebooks."""
        return samples_html(self.items, self.data, self.seed, self.bits_per_dim)

    def _repr_png_(self) -> bytes | None:
        """For notebooks without HTML."""
        return samples_png(self.items, self.data)


def fresh_seed() -> int:
    """A seed that JSON carries exactly."""
    return secrets.randbelow(2**53)


def drive(runtime: Runtime, requests: Iterable[SlotRequest], count: int) -> Iterator[Chunk]:
    """Run every request, `count` sites a step; items beyond the runtime's slots wait their turn.

    A chunk's `item` is the request's. Slots are given back when the iterator is closed.
    """
    waiting = iter(requests)
    running: dict[int, SlotRequest] = {}  # by slot
    try:
        while True:
            while runtime.free and (request := next(waiting, None)) is not None:
                running[runtime.open(request)] = request
            if not running:
                return
            for advance in runtime.step(count):
                request = running[advance.slot]
                if advance.done:
                    runtime.close(advance.slot)
                    del running[advance.slot]
                yield _chunk(request, advance)
    finally:
        for slot in running:
            runtime.close(slot)


def _chunk(request: SlotRequest, advance: Advance) -> Chunk:
    return Chunk(
        item=request.item,
        member=request.member,
        first_site=advance.first_site,
        values=advance.values,
        log_prob=advance.log_prob,
        given=advance.given,
        done=advance.done,
    )


def collect(
    chunks: Iterable[Chunk],
    item_of: Callable[[Array, int], Array],
    *,
    seed: int,
    fingerprint: str,
    derived: bool,
) -> Samples:
    """Join the chunks of every item, in the order of their item numbers.

    `item_of` makes an item of its values and the member that drew them.
    """
    by_item: dict[int, list[Chunk]] = {}
    for chunk in chunks:
        by_item.setdefault(chunk.item, []).append(chunk)
    items, totals, sampled, dims = [], [], [], 1
    for _, parts in sorted(by_item.items()):
        items.append(item_of(np.concatenate([part.values for part in parts]), parts[0].member))
        nats = np.concatenate([part.log_prob for part in parts])
        given = np.concatenate([part.given for part in parts])
        totals.append(math.fsum(nats.flat))
        sampled.append(math.fsum(nats[~given].flat))
        dims = nats.size
    log_prob = np.array(totals)
    return Samples(
        items=np.stack(items),
        log_prob=log_prob,
        sampled_log_prob=np.array(sampled),
        bits_per_dim=bits_per_dim(log_prob, dims),
        seed=seed,
        fingerprint=fingerprint,
        derived=derived,
    )


def bits_per_dim(nats: Any, dimensions: int) -> Any:
    """-nats / (dimensions · ln 2)."""
    return -nats / (dimensions * math.log(2))
