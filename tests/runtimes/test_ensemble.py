"""Ensembles over orders: averages of likelihoods against enumeration, and their exact sampler."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from tests.models.cases import LABEL, network

from ancestral.models import DataSpec, Network
from ancestral.runtimes.base import SlotRequest
from ancestral.runtimes.ensemble import EnsembleRuntime, chosen_member, mixed
from ancestral.runtimes.naive import NaiveRuntime
from ancestral.runtimes.scorer import Scorer, scorer_of

BITS = {"kind": "bernoulli"}
FOUR = DataSpec(kind="vector", shape=(4,), levels=2)
ITEMS = torch.tensor(list(itertools.product((0, 1), repeat=4)))


def ensemble(*conditions) -> Network:  # type: ignore[no-untyped-def]
    return network("made", FOUR, BITS, *conditions, hidden=[12], orders=[None, 3, [3, 1, 0, 2]],
                   direct=True)  # fmt: skip


def probabilities(net: Network, name: str, *rows: torch.Tensor) -> np.ndarray:
    """p_k of every item, as the product of its Bernoullis."""
    logits = net.for_order(name)(ITEMS, *rows)[..., 0, 0].detach().numpy()
    chances = 1 / (1 + np.exp(-logits))
    each: np.ndarray = np.where(ITEMS.numpy() == 1, chances, 1 - chances).prod(1)
    return each


def test_the_likelihoods_are_averaged() -> None:
    net = ensemble()
    members = np.stack([probabilities(net, name) for name in net.orders])
    found = scorer_of(net).per_dim(ITEMS).sum((1, 2)).exp().numpy()
    np.testing.assert_allclose(found, members.mean(0), rtol=1e-12)
    assert found.sum() == pytest.approx(1, abs=1e-12)
    assert abs(members[0] - members[1]).max() > 0.01


def test_labels_are_summed_out_under_each_member() -> None:
    net = ensemble(LABEL)
    by_label = [
        np.mean([probabilities(net, name, torch.full((16,), k)) for name in net.orders], 0)
        for k in range(3)
    ]
    found = scorer_of(net, [LABEL]).marginal(ITEMS, [None]).sum((1, 2)).exp().numpy()
    np.testing.assert_allclose(found, np.mean(by_label, 0), rtol=1e-10)


def test_the_map_is_the_members_weighted_by_posterior() -> None:
    maps = [torch.tensor([[[-1.0], [-3.0]]]), torch.tensor([[[-2.0], [-2.5]]])]
    total = np.log((np.exp(-4) + np.exp(-4.5)) / 2)
    weight = math.exp(-4) / (math.exp(-4) + math.exp(-4.5))
    mean = weight * np.array([-1, -3]) + (1 - weight) * np.array([-2, -2.5])
    divergence = weight * np.log(2 * weight) + (1 - weight) * np.log(2 * (1 - weight))
    found = mixed(maps)[0, :, 0].numpy()
    assert found.sum() == pytest.approx(total)
    np.testing.assert_allclose(found, mean - divergence / 2, rtol=1e-6)


def test_a_single_order_is_scored_alone() -> None:
    assert isinstance(scorer_of(ensemble().for_order("order-1")), Scorer)


def test_members_are_chosen_evenly_by_the_items_own_noise() -> None:
    chosen = np.array([chosen_member(11, item, 8) for item in range(4000)])
    counts = np.bincount(chosen, minlength=8)
    assert ((counts - 500) ** 2 / 500).sum() < 24.3  # chi-squared, 7 degrees, p = 0.001
    assert chosen_member(11, 5, 8) == chosen[5]
    assert any(chosen_member(12, item, 8) != chosen[item] for item in range(8))


def test_slots_run_under_the_order_they_name() -> None:
    net = ensemble()
    members = [
        NaiveRuntime(net.for_order(name), 3, order=order) for name, order in net.orders.items()
    ]
    runtime = EnsembleRuntime(3, [lambda n, o=o, k=k: NaiveRuntime(net.for_order(k), n, order=o)
                                  for k, o in net.orders.items()])  # fmt: skip
    slots = {runtime.open(SlotRequest(1, item, 4, member=item)): item for item in (2, 0, 1)}
    assert runtime.free == 0
    with pytest.raises(RuntimeError, match="taken"):
        runtime.open(SlotRequest(1, 7, 4))
    advances = runtime.step(4)
    assert sorted(slots[a.slot] for a in advances) == [0, 1, 2]
    for advance in advances:
        alone = members[slots[advance.slot]]
        alone.open(SlotRequest(1, slots[advance.slot], 4))
        wanted = alone.step(4)[0]
        assert (advance.values == wanted.values).all()
        assert (advance.log_prob == wanted.log_prob).all()
        runtime.close(advance.slot)
    assert runtime.free == 3
    with pytest.raises(ValueError, match="member"):
        runtime.open(SlotRequest(1, 0, 4, member=3))
    with pytest.raises(ValueError, match="not open"):
        runtime.close(0)
