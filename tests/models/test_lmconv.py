"""LMConv: causal under every order, and a distribution under each and on average."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from tests.models.cases import LABEL, dependencies, network, total_probability

from ancestral.models import DataSpec
from ancestral.models.lmconv import LocallyMasked
from ancestral.models.orders import CURVES, named

BITS = {"kind": "bernoulli"}
SMALL = DataSpec(kind="image", shape=(1, 2, 3), levels=2)
LARGE = DataSpec(kind="image", shape=(1, 4, 5), levels=2)
TINY: dict[str, Any] = {"hidden": 6, "inner": 5, "dilations": [1, 2]}
ORDERS = [*CURVES, "s-curve-th", "hilbert-v", "diagonal-tvh"]


@pytest.mark.parametrize("name", ORDERS)
def test_a_pixel_sees_those_before_it_in_the_order(name: str) -> None:
    net = network("lmconv", LARGE, BITS, orders=ORDERS, **TINY).for_order(name)
    rank = np.argsort(named(name, 4, 5))
    found = dependencies(net, 20)
    assert not (found & (rank[:, None] <= rank[None, :])).any()
    row, column = np.divmod(np.arange(20), 5)
    near = np.maximum(abs(row[:, None] - row), abs(column[:, None] - column)) == 1
    assert found[near & (rank[:, None] > rank[None, :])].all()


def test_the_layer_is_equation_4() -> None:
    """Position by position: the weights, masked for it, times its patch."""
    torch.manual_seed(0)
    layer = LocallyMasked(2, 3, 3, strict=True).double()
    x = torch.randn(1, 2, 3, 4, dtype=torch.float64)
    order = named("s-curve-t", 3, 4)
    rank = np.argsort(order).reshape(3, 4)
    found = layer(x, 1.0 + torch.from_numpy(rank).double()[None, None])
    weight = layer.weight.reshape(3, 2, 3, 3)
    for row, column in itertools.product(range(3), range(4)):
        wanted = layer.bias.clone()
        for i, j in itertools.product(range(3), range(3)):
            r, c = row + i - 1, column + j - 1
            if 0 <= r < 3 and 0 <= c < 4 and rank[r, c] < rank[row, column]:
                wanted = wanted + weight[:, :, i, j] @ x[0, :, r, c]
        torch.testing.assert_close(found[0, :, row, column], wanted)


def test_probabilities_sum_to_one_under_an_order_and_on_average() -> None:
    net = network("lmconv", SMALL, BITS, LABEL, orders=["hilbert", "diagonal-v"], **TINY)
    label = torch.tensor([1])
    for name in net.orders:
        assert total_probability(net.for_order(name), 6, label) == pytest.approx(1, abs=1e-9)
    everything = torch.tensor(list(itertools.product((0, 1), repeat=6))).reshape(-1, 1, 2, 3)
    nats = net.nats_per_item(everything, label.expand(64))
    assert float(nats.detach().double().exp().sum()) == pytest.approx(1, abs=1e-5)


def test_forward_follows_the_first_order() -> None:
    net = network("lmconv", SMALL, BITS, orders=["hilbert", "raster"], **TINY)
    codes = torch.randint(0, 2, (2, 1, 2, 3))
    assert torch.equal(net(codes), net.for_order("hilbert")(codes))
    with pytest.raises(KeyError):
        net.for_order("s-curve")


@pytest.mark.parametrize(
    ("data", "fields", "message"),
    [
        (SMALL, {"kernel": 4}, "odd"),
        (SMALL, {"orders": ["spiral"]}, "unknown order"),
        (DataSpec(kind="image", shape=(3, 2, 2), levels=2), {}, "joint"),
        (DataSpec(kind="vector", shape=(4,), levels=2), {}, "images"),
    ],
)
def test_what_does_not_fit_is_refused(data: DataSpec, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        network("lmconv", data, BITS, **{"orders": ["raster"], **TINY, **fields})
