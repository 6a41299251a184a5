"""The seam between a step program and whoever drives it: slots that open, advance and close.

A slot is one running sequence's place in the running batch. A runtime holds a fixed number of
them; slots open and close while others run, and no slot's values depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch

Values = npt.NDArray[np.generic]  # [sites, dims]: int64 codes or float64, in generation order
Nats = npt.NDArray[np.float64]  # [sites, dims]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a value is drawn from its distribution; the scores reported are always untempered."""

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        if not self.temperature >= 0:
            raise ValueError(f"temperature must be at least 0, not {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k must be at least 1, not {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must lie in (0, 1], not {self.top_p}")


@dataclass(frozen=True, slots=True)
class SlotRequest:
    """What one sequence is: its noise (seed, item), length in sites, condition and known values.

    `conditions` are tensors of batch one in the order of the manifest. `known` [sites, dims] holds
    values the caller fixes where `known_mask` [sites, dims] is true; a leading run of fully known
    sites is a prefix, which `Runtime.open` prefills by one teacher-forced pass. `replay` does the
    same by stepping, so that values published by another worker are met with the same rounding.
    `member` is the order to draw it under, where there are several; known values lie by its ranks.
    """

    seed: int
    item: int
    sites: int
    conditions: tuple[torch.Tensor, ...] = ()
    sampling: Sampling = field(default_factory=Sampling)
    known: Values | None = None
    known_mask: npt.NDArray[np.bool_] | None = None
    replay: Values | None = None  # [n, dims]: the first n sites as already published
    member: int = 0


@dataclass(frozen=True, slots=True)
class Advance:
    """What one slot gained in a call of `Runtime.step`: consecutive sites from `first_site` on."""

    slot: int
    first_site: int
    values: Values  # [count, dims]
    log_prob: Nats  # [count, dims], nats of the untempered model
    given: npt.NDArray[np.bool_]  # [count, dims]: true where the value was known, not sampled
    done: bool  # the slot has reached its last site


@runtime_checkable
class Runtime(Protocol):
    """Runs a model's sampler over a running batch of slots."""

    @property
    def name(self) -> str: ...

    @property
    def slots(self) -> int:
        """Places in the running batch."""
        ...

    @property
    def free(self) -> int:
        """Places not taken."""
        ...

    @property
    def derived(self) -> bool:
        """True when sampling runs a derived step program, false when it re-runs the forward."""
        ...

    @property
    def phase_sites(self) -> int:
        """A newly opened slot starts within this many steps of the batch (1: at the next step)."""
        ...

    @property
    def weights(self) -> Sequence[torch.Tensor]:
        """Every tensor that weights are read from, the network's own among them; for counting."""
        ...

    def slot_bytes(self, sites: int) -> int:
        """Memory of one slot of an item of that many sites."""
        ...

    def open(self, request: SlotRequest) -> int:
        """Take a slot; its first sites come with the following `step`. Raises when none is free."""
        ...

    def step(self, count: int) -> Sequence[Advance]:
        """Advance every open slot by at most `count` sites and say what each gained.

        Sites of a prefix (filled at `open`) are reported too, in the slot's first advance, which
        may therefore hold more than `count` sites.
        """
        ...

    def close(self, slot: int) -> None:
        """Give a slot back, finished or not; the others go on undisturbed."""
        ...
