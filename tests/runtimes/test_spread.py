"""Slots spread over cores: the same values, and parts that step at the same time."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from tests.causal import drawn

from ancestral.compile import compile_network
from ancestral.likelihoods import Categorical
from ancestral.models import DataSpec, build
from ancestral.runtimes.base import Advance, Runtime, SlotRequest
from ancestral.runtimes.reference import ReferenceRuntime
from ancestral.runtimes.spread import SpreadRuntime


def test_values_and_places_are_those_of_one_batch() -> None:
    torch.manual_seed(0)
    net = build("char-rnn", {"width": 4, "layers": 1}, DataSpec("sequence", (), 8), Categorical(8))
    program = compile_network(net.eval())
    wanted = drawn(ReferenceRuntime(program, net, 5), 12, range(7))
    spread = SpreadRuntime(5, 2, lambda slots: ReferenceRuntime(program, net, slots))
    assert isinstance(spread, Runtime)
    for staggered in (False, True):
        found = drawn(spread, 12, range(7), staggered=staggered)
        for item, values in wanted.items():
            np.testing.assert_array_equal(found[item], values)
    assert spread.free == spread.slots == 5
    slots = [spread.open(SlotRequest(seed=0, item=i, sites=4)) for i in range(5)]
    assert slots == [0, 1, 2, 3, 4]
    with pytest.raises(RuntimeError, match="all 5 slots are taken"):
        spread.open(SlotRequest(seed=0, item=5, sites=4))
    spread.close(3)
    with pytest.raises(ValueError, match="slot 3 is not open"):
        spread.close(3)
    assert [advance.slot for advance in spread.step(2)] == [0, 1, 2, 4]


class Meeting:
    """A part that waits for the others while it steps."""

    name, derived, phase_sites, weights = "meeting", True, 1, ()

    def __init__(self, slots: int, barrier: threading.Barrier) -> None:
        self.slots = self.free = slots
        self.barrier = barrier

    def slot_bytes(self, sites: int) -> int:
        return sites

    def open(self, request: SlotRequest) -> int:
        self.free -= 1
        return self.slots - self.free - 1

    def step(self, count: int) -> Sequence[Advance]:
        self.barrier.wait(300)  # raises where the others do not come
        nothing = np.zeros((count, 1))
        return [Advance(0, 0, nothing, nothing, nothing > 0, False)]

    def close(self, slot: int) -> None:
        self.free += 1


def test_parts_step_at_the_same_time_and_failures_are_raised() -> None:
    barrier = threading.Barrier(3)
    runtime = SpreadRuntime(6, 3, lambda slots: Meeting(slots, barrier))
    for item in range(3):
        runtime.open(SlotRequest(seed=0, item=item, sites=9))
    threads = torch.get_num_threads()
    assert [advance.slot for advance in runtime.step(4)] == [0, 1, 2]
    assert torch.get_num_threads() == threads
    barrier.abort()
    with pytest.raises(threading.BrokenBarrierError):
        runtime.step(4)
