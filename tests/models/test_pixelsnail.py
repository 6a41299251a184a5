"""PixelSNAIL: attention over the pixels strictly before, from the first block on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.models.cases import dependencies, network

from ancestral.models import DataSpec
from ancestral.models.pixelsnail import PixelSNAIL, attend, background


def test_attention_is_the_mean_over_earlier_pixels_one_by_one() -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, n, 3, 4, dtype=torch.float64) for n in (6, 6, 4))
    found = attend(q, k, v, heads=2).flatten(2)
    q, k, v = (x.flatten(2) for x in (q, k, v))
    assert not found[:, :, 0].any()
    for pixel in range(1, 12):
        for head in range(2):
            own, values = slice(3 * head, 3 * head + 3), slice(2 * head, 2 * head + 2)
            scores = torch.einsum("bc,bcn->bn", q[:, own, pixel], k[:, own, :pixel]) / 3**0.5
            wanted = torch.einsum("bn,bcn->bc", scores.softmax(1), v[:, values, :pixel])
            torch.testing.assert_close(found[:, values, pixel], wanted)


def test_background_holds_row_and_column() -> None:
    where = background(torch.zeros(2, 5, 4, 2))
    assert where.shape == (2, 2, 4, 2)
    assert where[1, 0, :, 1].tolist() == [-0.5, -0.25, 0, 0.25]
    assert where[1, 1, 3].tolist() == [-0.5, 0]


def test_one_block_sees_all_earlier_pixels() -> None:
    data = DataSpec(kind="image", shape=(1, 5, 7), levels=2)
    net = network("pixelsnail", data, {"kind": "bernoulli"}, channels=4, blocks=1, layers=1, keys=4)
    assert (dependencies(net, 35) == np.tril(np.ones((35, 35), dtype=bool), -1)).all()


def test_heads_must_divide() -> None:
    with pytest.raises(ValueError, match="multiples of heads 3"):
        PixelSNAIL(1, 2, channels=4, blocks=1, keys=4, heads=3)
