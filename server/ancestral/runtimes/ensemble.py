"""An ensemble over orders: each member's own runtime and scorer, and the mean of their likelihoods.

An item is scored as log (1/K) Σ_k p_k(x) (Germain et al. 2015, section 4.2; Jain et al. 2020,
section 5), and drawn by one member, chosen evenly with the item's own noise: together that is
ancestral sampling of the mixture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ancestral.likelihoods.noise import uniforms
from ancestral.runtimes.base import Advance, Runtime, SlotRequest
from ancestral.runtimes.long_items import Parts, run_through

CHOICE_SITE = 2**64 - 1  # where the noise that chooses a member lies: no item has as many sites


class ItemScorer(Protocol):
    """See `runtimes.scorer.Scorer`."""

    def parts(self, codes: Tensor, conditions: Sequence[Tensor] = ()) -> Parts: ...

    def marginal_parts(self, codes: Tensor, conditions: Sequence[Tensor | None] = ()) -> Parts: ...


class EnsembleScorer:
    """The likelihoods of members averaged, never their params; maps as in `mixed`."""

    def __init__(self, members: Sequence[ItemScorer]) -> None:
        self._members = tuple(members)

    def prepare(self) -> None:
        """See `runtimes.scorer.Scorer`."""

    def per_dim(self, codes: Tensor, conditions: Sequence[Tensor] = ()) -> Tensor:
        """Nats of every dimension, [B, S, C] float64; their sum is the mixture's log p."""
        return run_through(self.parts(codes, conditions))

    def parts(self, codes: Tensor, conditions: Sequence[Tensor] = ()) -> Parts:
        """The same with pauses."""
        maps = []
        for member in self._members:
            maps.append((yield from member.parts(codes, conditions)))
        return mixed(maps)

    def marginal(self, codes: Tensor, conditions: Sequence[Tensor | None] = ()) -> Tensor:
        """The same with the labels given as None summed out, under each member."""
        return run_through(self.marginal_parts(codes, conditions))

    def marginal_parts(self, codes: Tensor, conditions: Sequence[Tensor | None] = ()) -> Parts:
        """The same with pauses."""
        maps = []
        for member in self._members:
            maps.append((yield from member.marginal_parts(codes, conditions)))
        return mixed(maps)


def mixed(maps: Sequence[Tensor]) -> Tensor:
    """Members' maps [B, S, C] as one: their mean by posterior weight w_k ∝ p_k(x), levelled.

    log (1/K) Σ p_k = Σ w_k log p_k - KL(w | 1/K). The second term, at most log K, says how much the
    members disagree; no dimension owns it, so all bear the same part, and the map sums to log p.
    """
    stacked = torch.stack(list(maps))  # [K, B, S, C]
    totals = stacked.flatten(2).sum(2)  # [K, B]
    mean = (stacked * totals.softmax(0)[..., None, None]).sum(0)
    exact = totals.logsumexp(0) - math.log(len(maps))
    rest = exact - mean.flatten(1).sum(1)
    return mean + (rest / mean[0].numel())[:, None, None]


def chosen_member(seed: int, item: int, members: int) -> int:
    """Which member draws an item: even over members, by word 0 of the noise of no site."""
    word = uniforms(seed, item, np.array([CHOICE_SITE], dtype=np.uint64), np.array([0]))
    return min(int(word.ravel()[0] * members), members - 1)


class EnsembleRuntime:
    """A `Runtime` whose slots run under the order that each request names by its `member`.

    A member's runtime is made when a request first asks for it.
    """

    def __init__(self, slots: int, makers: Sequence[Callable[[int], Runtime]]) -> None:
        self._makers = tuple(makers)
        self._members: dict[int, Runtime] = {}
        self._slots: list[tuple[int, int] | None] = [None] * slots  # (member, its slot)

    @property
    def name(self) -> str:
        return self._member(0).name

    @property
    def slots(self) -> int:
        return len(self._slots)

    @property
    def free(self) -> int:
        return self._slots.count(None)

    @property
    def derived(self) -> bool:
        return all(member.derived for member in self._members.values())

    @property
    def phase_sites(self) -> int:
        return max(member.phase_sites for member in self._made())

    @property
    def weights(self) -> list[Tensor]:
        return [tensor for member in self._made() for tensor in member.weights]

    def slot_bytes(self, sites: int) -> int:
        return sum(member.slot_bytes(sites) for member in self._made())

    def open(self, request: SlotRequest) -> int:
        if self.free == 0:
            raise RuntimeError(f"all {self.slots} slots are taken")
        if not 0 <= request.member < len(self._makers):
            raise ValueError(f"member must be below {len(self._makers)}, not {request.member}")
        inner = self._member(request.member).open(replace(request, member=0))
        slot = self._slots.index(None)
        self._slots[slot] = (request.member, inner)
        return slot

    def step(self, count: int) -> Sequence[Advance]:
        outer = {place: slot for slot, place in enumerate(self._slots) if place is not None}
        return [
            replace(advance, slot=outer[number, advance.slot])
            for number in sorted({number for number, _ in outer})
            for advance in self._members[number].step(count)
        ]

    def close(self, slot: int) -> None:
        place = self._slots[slot]
        if place is None:
            raise ValueError(f"slot {slot} is not open")
        self._members[place[0]].close(place[1])
        self._slots[slot] = None

    def _made(self) -> list[Runtime]:
        self._member(0)
        return list(self._members.values())

    def _member(self, number: int) -> Runtime:
        if number not in self._members:
            self._members[number] = self._makers[number](self.slots)
        return self._members[number]
