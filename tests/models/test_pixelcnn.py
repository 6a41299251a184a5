"""PixelCNN against its paper's masks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.models.cases import dependencies, network

from ancestral.models import DataSpec
from ancestral.models.pixelcnn import Block, MaskedConv, PixelCNN

GREY = {"channels": 8, "blocks": 3, "first_kernel": 3}


def test_a_block_is_figure_5() -> None:
    torch.manual_seed(0)
    block = Block(3, 3, 1)
    h = torch.randn(2, 6, 4, 5)
    inner = block.reduce(h.clamp(min=0)).clamp(min=0)
    assert inner.shape == (2, 3, 4, 5)
    torch.testing.assert_close(block(h), h + block.expand(block.conv(inner).clamp(min=0)))


@pytest.mark.parametrize("kind", ["A", "B"])
def test_masks_of_a_pixel(kind: str) -> None:
    """Figure 2: under mask A green sees red, under mask B green as well."""
    mask = MaskedConv(3, 6, 3, kind, 3).mask  # type: ignore[arg-type]
    seen = mask[:, :, 1, 1].numpy()
    colours = np.repeat(np.arange(3), 2)
    wanted = colours[:, None] - np.arange(3)[None] >= (1 if kind == "A" else 0)
    np.testing.assert_array_equal(seen, wanted)
    assert mask[:, :, 0].all()
    assert mask[:, :, 1, 0].all()
    assert not mask[:, :, 1, 2].any()
    assert not mask[:, :, 2].any()


def test_the_blind_spot() -> None:
    """A kernel's mask never looks to the right in its own row: a cone is not seen (section 3.3)."""
    net = network(
        "pixelcnn", DataSpec(kind="image", shape=(1, 4, 6), levels=2), {"kind": "bernoulli"}, **GREY
    )
    seen = dependencies(net, 24)
    rows, columns = np.divmod(np.arange(24), 6)
    up = rows[:, None] - rows[None, :]
    right = columns[None, :] - columns[:, None]
    earlier = np.tril(np.ones((24, 24), dtype=bool), -1)
    cone = earlier & (right <= up) & (up <= 4) & (-right <= 4)
    assert not (seen & ~cone).any()
    assert seen.sum() > 0.9 * cone.sum()  # a few paths end in ReLUs that are off


def test_channels_of_a_pixel_come_in_order() -> None:
    net = network(
        "pixelcnn",
        DataSpec(kind="image", shape=(3, 1, 2), levels=4),
        {"kind": "categorical", "levels": 4},
        channels=6,
        blocks=1,
        final=[6],
    )
    assert (dependencies(net, 2) == np.tril(np.ones((6, 6), dtype=bool), -1)).all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kernel": 4}, "kernel must be odd"),
        ({"first_kernel": 0}, "first_kernel must be odd"),
        ({"groups": 3}, "must be multiples of 3"),
    ],
)
def test_hyperparameters_that_make_no_sense(fields: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PixelCNN(1, 2, channels=4, blocks=1, **fields)  # type: ignore[arg-type]
