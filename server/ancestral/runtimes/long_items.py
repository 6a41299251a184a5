"""Score items too long for one pass: by windows that overlap, or by stepping through them.

A network of finite receptive field is run over windows that begin so much earlier: what padding
does to their first sites reaches no further. Any other derived program is stepped with every value
given: its caches carry what came before, as they do in sampling. Both give what one pass gives, up
to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import cached_property
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from ancestral.compile import Program
from ancestral.runtimes.base import Runtime, SlotRequest
from ancestral.runtimes.reach import reach

STEP_SITES = 256  # between two places where the work can pause
Parts = Generator[None, None, Tensor]  # pauses, and at last the nats
Found = TypeVar("Found")
Pass = Callable[[slice], Tensor]  # sites of the item -> their nats [1, S, C]


class LongItems:
    """What a derived sampler offers the scorer of its network; both are made when first needed."""

    def __init__(
        self, program: Callable[[], Program | None], runtime: Callable[[], Runtime]
    ) -> None:
        self._program, self._runtime = program, runtime

    @property
    def derived(self) -> bool:
        """Whether there is a program to step."""
        return self._program() is not None

    @cached_property
    def reach(self) -> int | None:
        """See `runtimes.reach`."""
        return reach(self._program())

    def stepped(self, values: Tensor, conditions: Sequence[Tensor]) -> Parts:
        """Nats [1, S, C] of one item's values [1, S, C] by stepping through them."""
        item = values[0].cpu().numpy()
        runtime, nats = self._runtime(), []
        item = item if item.dtype.kind == "i" else item.astype(np.float64)
        slot = runtime.open(
            SlotRequest(
                seed=0, item=0, sites=len(item), conditions=tuple(conditions), replay=item
            )
        )  # fmt: skip
        done = False
        while not done:
            for advance in runtime.step(STEP_SITES):
                nats.append(advance.log_prob)
                done = advance.done
            if not done:
                yield
        runtime.close(slot)
        return torch.from_numpy(np.concatenate(nats))[None]


def windowed(run: Pass, sites: int, size: int, overlap: int) -> Parts:
    """Nats [1, S, C] by passes over `size` new sites each, behind `overlap` known ones."""
    found = []
    for first in range(0, sites, size):
        if first:
            yield
        start = max(0, first - overlap)
        found.append(run(slice(start, first + size))[:, first - start :])
    return torch.cat(found, dim=1)


def run_through(parts: Generator[None, None, Found]) -> Found:
    """Run to the end without a pause."""
    while True:
        try:
            next(parts)
        except StopIteration as end:
            found: Found = end.value
            return found
