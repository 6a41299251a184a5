from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from tests.chain import LinearChain, all_items, image_chain, vector_chain

from ancestral.models.network import Network
from ancestral.runtimes import Advance, Sampling, SlotRequest
from ancestral.runtimes.naive import NaiveRuntime


def drain(runtime: NaiveRuntime, slot: int, count: int = 3) -> list[Advance]:
    """Step until the slot is done; its advances alone."""
    found: list[Advance] = []
    while not (found and found[-1].done):
        found += [advance for advance in runtime.step(count) if advance.slot == slot]
    return found


def run(network: Network, request: SlotRequest, **options: object) -> Advance:
    """One item alone, its advances joined."""
    runtime = NaiveRuntime(network, 1, **options)  # type: ignore[arg-type]
    advances = drain(runtime, runtime.open(request))
    return Advance(
        slot=0,
        first_site=advances[0].first_site,
        values=np.concatenate([a.values for a in advances]),
        log_prob=np.concatenate([a.log_prob for a in advances]),
        given=np.concatenate([a.given for a in advances]),
        done=True,
    )


def chain_of(network: Network) -> LinearChain:
    assert isinstance(network.module, LinearChain)
    return network.module


def test_frequencies_are_those_of_the_closed_form() -> None:
    network = vector_chain(3)
    items = all_items(3)
    expected = np.exp([chain_of(network).log_prob(item).sum() for item in items])
    count = 1500
    counts = np.zeros(len(items))
    for item in range(count):
        values = run(network, SlotRequest(seed=11, item=item, sites=3)).values
        counts[int((values[:, 0] * [4, 2, 1]).sum())] += 1
    assert chisquare(counts, expected * count).pvalue > 1e-3


@pytest.mark.parametrize("label", [0, 2])
def test_reported_log_prob_is_the_closed_form(label: int) -> None:
    network = image_chain(channels=3, height=2, width=2)
    request = SlotRequest(seed=1, item=5, sites=4, conditions=(torch.tensor([label]),))
    advance = run(network, request)
    expected = chain_of(network).log_prob(advance.values.reshape(-1).astype(np.int64), label)
    np.testing.assert_allclose(advance.log_prob.reshape(-1), expected, atol=1e-6)
    assert not advance.given.any()


def test_scores_are_untempered() -> None:
    network = vector_chain(4)
    advance = run(network, SlotRequest(seed=1, item=0, sites=4, sampling=Sampling(temperature=0)))
    expected = chain_of(network).log_prob(advance.values[:, 0].astype(np.int64))
    np.testing.assert_allclose(advance.log_prob[:, 0], expected, atol=1e-6)
    assert (advance.log_prob >= np.log(0.5)).all()  # temperature 0 takes the likelier value


def test_sites_come_in_order_without_gap_and_end_once() -> None:
    runtime = NaiveRuntime(vector_chain(7), 1)
    slot = runtime.open(SlotRequest(seed=1, item=0, sites=7))
    advances = drain(runtime, slot, count=3)
    assert [(a.first_site, len(a.values), a.done) for a in advances] == [
        (0, 3, False),
        (3, 3, False),
        (6, 1, True),
    ]
    assert runtime.step(3) == []


def test_values_do_not_depend_on_the_batch_or_on_the_size_of_the_steps() -> None:
    network = vector_chain(6)
    alone = run(network, SlotRequest(seed=3, item=2, sites=6))
    runtime = NaiveRuntime(network, 4)
    runtime.open(SlotRequest(seed=9, item=0, sites=6))
    runtime.step(2)
    slot = runtime.open(SlotRequest(seed=3, item=2, sites=6))
    runtime.open(SlotRequest(seed=3, item=3, sites=6))
    beside = np.concatenate([a.values for a in drain(runtime, slot, count=1)])
    np.testing.assert_array_equal(alone.values, beside)


def test_prefix_is_taken_scored_and_marked_in_the_first_advance() -> None:
    network = vector_chain(6)
    known = np.array([1, 0, 1, 0, 0, 0])[:, None]
    mask = np.array([1, 1, 1, 0, 0, 0], dtype=np.bool_)[:, None]
    runtime = NaiveRuntime(network, 1)
    slot = runtime.open(SlotRequest(seed=1, item=0, sites=6, known=known, known_mask=mask))
    first, *rest = drain(runtime, slot, count=2)
    assert first.first_site == 0
    assert len(first.values) == 5  # three of the prefix and two drawn
    np.testing.assert_array_equal(first.values[:3, 0], [1, 0, 1])
    np.testing.assert_array_equal(first.given[:, 0], [True, True, True, False, False])
    values = np.concatenate([first.values, *(a.values for a in rest)])[:, 0].astype(np.int64)
    nats = np.concatenate([first.log_prob, *(a.log_prob for a in rest)])[:, 0]
    np.testing.assert_allclose(nats, chain_of(network).log_prob(values), atol=1e-6)


def test_known_value_behind_a_hole_and_within_a_pixel_is_kept() -> None:
    network = image_chain(channels=2, height=1, width=3)
    known = np.array([[0, 0], [0, 1], [1, 1]])
    mask = np.array([[False, False], [False, True], [True, True]])
    advance = run(network, SlotRequest(seed=4, item=0, sites=3, known=known, known_mask=mask))
    np.testing.assert_array_equal(advance.values[mask], known[mask])
    np.testing.assert_array_equal(advance.given, mask)
    free = run(network, SlotRequest(seed=4, item=0, sites=3))
    np.testing.assert_array_equal(advance.values[0], free.values[0])  # a hole looks back only


def test_wholly_known_item_is_reported_at_once() -> None:
    runtime = NaiveRuntime(vector_chain(3), 1)
    mask = np.ones((3, 1), dtype=np.bool_)
    runtime.open(SlotRequest(seed=1, item=0, sites=3, known=np.ones((3, 1)), known_mask=mask))
    (advance,) = runtime.step(1)
    assert advance.done
    assert advance.given.all()


def test_replay_goes_on_as_if_undisturbed() -> None:
    network = image_chain(channels=2, height=2, width=3)
    request = SlotRequest(seed=8, item=1, sites=6)
    whole = run(network, request)
    replayed = run(network, SlotRequest(seed=8, item=1, sites=6, replay=whole.values[:4]))
    np.testing.assert_array_equal(whole.values, replayed.values)
    np.testing.assert_allclose(whole.log_prob, replayed.log_prob, atol=1e-12)
    assert not replayed.given.any()


def test_order_is_followed() -> None:
    order = np.array([2, 0, 3, 1])
    network = vector_chain(4, order)
    advance = run(network, SlotRequest(seed=5, item=0, sites=4), order=order)
    item = np.empty(4, dtype=np.int64)
    item[order] = advance.values[:, 0]
    expected = chain_of(network).log_prob(item)[order]
    np.testing.assert_allclose(advance.log_prob[:, 0], expected, atol=1e-6)


def test_slots_are_counted_and_refused() -> None:
    runtime = NaiveRuntime(vector_chain(3), 2)
    request = SlotRequest(seed=1, item=0, sites=3)
    first = runtime.open(request)
    runtime.open(request)
    assert runtime.free == 0
    with pytest.raises(RuntimeError, match="all 2 slots"):
        runtime.open(request)
    runtime.close(first)
    assert runtime.free == 1
    with pytest.raises(ValueError, match="not open"):
        runtime.close(first)
    with pytest.raises(ValueError, match=r"known has shape \(2, 1\)"):
        runtime.open(SlotRequest(seed=1, item=0, sites=3, known=np.ones((2, 1))))
    assert runtime.free == 1  # a refused request takes no slot
