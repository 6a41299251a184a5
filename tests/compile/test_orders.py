"""Networks that follow any order are derived under any, value for value as the naive loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.causal import drawn
from tests.models.cases import network
from torch.utils.flop_counter import FlopCounterMode

from ancestral.compile import CausalityError
from ancestral.models import DataSpec, Network
from ancestral.models.lmconv import LocallyMasked
from ancestral.models.orders import named
from ancestral.runtimes.derive import derive
from ancestral.runtimes.naive import NaiveRuntime
from ancestral.runtimes.reference import ReferenceRuntime

NAMES = ["raster", "s-curve-v", "diagonal-t", "hilbert-th"]
IMAGE = DataSpec(kind="image", shape=(1, 3, 5), levels=2)
BITS = {"kind": "bernoulli"}


def lmconv(dilation: int = 2) -> Network:
    return network("lmconv", IMAGE, BITS, orders=NAMES, hidden=4, inner=3, dilations=[1, dilation])


@pytest.mark.parametrize("name", NAMES)
def test_every_order_is_derived(name: str) -> None:
    net = lmconv()
    member, order = net.for_order(name), net.orders[name]
    program = derive(member, (), order)
    fast = drawn(ReferenceRuntime(program, member, 2), 15, range(3), staggered=True)
    slow = drawn(NaiveRuntime(member, 3, order=order), 15, range(3))
    for item, values in slow.items():
        np.testing.assert_array_equal(fast[item], values)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        member(torch.zeros(1, 1, 3, 5, dtype=torch.int64))
    assert program.macs_per_item(15) <= 1.05 * counter.get_total_flops() / 2


def test_another_order_than_the_networks_is_refused() -> None:
    net = lmconv()
    with pytest.raises(CausalityError, match="not causal"):
        derive(net.for_order("raster"), (), named("s-curve-v", 3, 5))


def test_a_mask_that_is_off_by_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first layer's mask with the pixel itself."""

    def inclusive(self: LocallyMasked, ranks: torch.Tensor) -> torch.Tensor:
        neighbours = self.patches(ranks)
        return (neighbours <= ranks.flatten(2)) & (neighbours > 0)

    monkeypatch.setattr(LocallyMasked, "mask", inclusive)
    net = lmconv()
    with pytest.raises(CausalityError, match="not causal"):
        derive(net.for_order("hilbert-th"), (), net.orders["hilbert-th"])
