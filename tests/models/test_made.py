"""MADE: orders, degrees and what its masks let through."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.models.cases import dependencies, network

from ancestral.models import DataSpec
from ancestral.models.made import MADE, hidden_degrees, ordering

BITS = {"kind": "bernoulli"}
NINE = DataSpec(kind="vector", shape=(9,), levels=2)


@pytest.mark.parametrize("order", [None, 3, [8, 0, 4, 2, 6, 1, 3, 5, 7]])
@pytest.mark.parametrize("direct", [False, True])
def test_a_dimension_sees_those_before_it_in_the_order(
    order: int | list[int] | None, direct: bool
) -> None:
    net = network(
        "made", NINE, BITS, hidden=[40, 30], order=order, direct=direct, activation="softplus"
    )
    rank = np.argsort(ordering(9, order))
    assert (dependencies(net, 9) == (rank[:, None] > rank[None, :])).all()


def test_masks_follow_the_degrees() -> None:
    """Equations 12 and 13, entry by entry."""
    made = MADE(6, 1, hidden=[7, 8], order=2, degree_seed=3)
    rank = 1 + np.argsort(ordering(6, 2))
    first, second = hidden_degrees(6, [7, 8], 3)
    for k in range(7):
        for d in range(6):
            assert made.hidden[0].mask_0[k, d] == float(first[k] >= rank[d])
    for k in range(8):
        for j in range(7):
            assert made.hidden[1].mask_0[k, j] == float(second[k] >= first[j])
    for d in range(6):
        for k in range(8):
            assert made.output.mask_0[d, k] == float(rank[d] > second[k])


def test_degrees_are_spread_or_drawn() -> None:
    even = hidden_degrees(9, [16], None)[0]
    assert np.bincount(even).tolist() == [0, 2, 2, 2, 2, 2, 2, 2, 2]
    drawn = hidden_degrees(9, [50, 50], 0)
    assert min(drawn[0]) >= 1
    assert max(drawn[0].max(), drawn[1].max()) <= 8
    assert drawn[1].min() >= drawn[0].min()


def test_one_dimension_is_a_bias() -> None:
    net = network("made", DataSpec(kind="vector", shape=(1,), levels=2), BITS, hidden=[3])
    assert torch.equal(net(torch.tensor([[0]])), net(torch.tensor([[1]])))


def test_masks_are_not_weights() -> None:
    assert not [name for name in MADE(4, 1, hidden=[5]).state_dict() if "mask" in name]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hidden": []}, "at least one layer"),
        ({"hidden": [4], "order": [0, 0, 1, 2]}, "permutation"),
        ({"hidden": [4], "activation": "swish"}, "unknown activation"),
    ],
)
def test_hyperparameters_that_make_no_sense(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MADE(4, 1, **fields)  # type: ignore[arg-type]
