from __future__ import annotations

import numpy as np
import pytest

from ancestral.likelihoods.noise import uniforms
from ancestral.runtimes.base import SlotRequest
from ancestral.runtimes.slot import NOISE_SITES, SlotState


def state(request: SlotRequest, dims: int = 2, joint: bool = False) -> SlotState:
    return SlotState(0, request, dims, True, joint=joint)


@pytest.mark.parametrize("site", [0, 1, NOISE_SITES - 1, NOISE_SITES, 2 * NOISE_SITES + 3])
def test_noise_is_that_of_the_counter(site: int) -> None:
    slot = state(SlotRequest(seed=2**40 + 7, item=5, sites=3 * NOISE_SITES))
    slot.uniforms(NOISE_SITES + 1)  # another chunk was drawn before
    for dim in range(2):
        expected = uniforms(2**40 + 7, 5, site, dim)[:2]
        np.testing.assert_array_equal(slot.uniforms(site)[dim], expected)


def test_prefix_is_the_leading_run_of_wholly_given_sites() -> None:
    known = np.arange(8).reshape(4, 2)
    mask = np.array([[1, 1], [1, 1], [0, 1], [1, 1]], dtype=np.bool_)
    slot = state(SlotRequest(seed=0, item=0, sites=4, known=known, known_mask=mask))
    assert slot.prefix == 2
    assert slot.values.tolist() == [[0, 1], [2, 3], [0, 5], [6, 7]]
    np.testing.assert_array_equal(slot.fixed, mask)


def test_replayed_values_are_fixed_but_not_given() -> None:
    slot = state(SlotRequest(seed=0, item=0, sites=3, replay=np.ones((2, 2), dtype=np.int64)))
    assert slot.fixed.all(axis=1).tolist() == [True, True, False]
    assert not slot.given.any()
    assert slot.prefix == 0


def test_take_new_reports_each_site_once_in_copies() -> None:
    slot = state(SlotRequest(seed=0, item=0, sites=4))
    slot.site = 3
    first = slot.take_new()
    assert (first.first_site, len(first.values), first.done) == (0, 3, False)
    slot.values[0] = 9
    assert first.values[0].tolist() == [0, 0]
    slot.site = 4
    last = slot.take_new()
    assert (last.first_site, len(last.values), last.done) == (3, 1, True)
    assert slot.done


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (SlotRequest(seed=0, item=0, sites=0), "at least 1"),
        (SlotRequest(seed=0, item=0, sites=3, known=np.zeros((3, 1))), r"known has shape \(3, 1\)"),
        (SlotRequest(seed=0, item=0, sites=3, known_mask=np.ones((3, 2), bool)), "without known"),
        (
            SlotRequest(
                seed=0,
                item=0,
                sites=3,
                known=np.zeros((3, 2)),
                known_mask=np.ones((2, 2), dtype=np.bool_),
            ),
            "known_mask has shape",
        ),
        (SlotRequest(seed=0, item=0, sites=3, replay=np.zeros((4, 2))), "replay has shape"),
    ],
)
def test_arrays_of_another_shape_are_refused(request_: SlotRequest, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        state(request_)


def test_a_part_of_a_jointly_drawn_site_cannot_be_known() -> None:
    mask = np.array([[1, 1], [0, 1]], dtype=np.bool_)
    request = SlotRequest(seed=0, item=0, sites=2, known=np.zeros((2, 2)), known_mask=mask)
    with pytest.raises(ValueError, match="a part of site 1, whose 2 dimensions are drawn jointly"):
        state(request, joint=True)
    assert state(request).prefix == 1
