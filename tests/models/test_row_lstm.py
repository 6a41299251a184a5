"""Row LSTM: equation 3 by hand, the triangle of pixels that it sees, and its sampler."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.models.cases import dependencies, network

from ancestral.models import DataSpec, Network
from ancestral.models.row_lstm import RowLayer

BITS = {"kind": "bernoulli"}


def small(channels: int = 1, height: int = 3, width: int = 5, **changes: object) -> Network:
    hyper = {"channels": 6, "layers": 1, "first_kernel": 3, "final": [6], **changes}
    return network("row-lstm", DataSpec("image", (channels, height, width), 2), BITS, **hyper)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def test_a_layer_is_equation_3_pixel_by_pixel() -> None:
    torch.manual_seed(0)
    layer = RowLayer(3, 2, 3, 1).double()
    x = torch.randn(1, 3, 4, 5, dtype=torch.float64)
    with torch.no_grad():
        found = layer(x)[0].numpy()
    own, bias = layer.input.weight.detach().numpy()[:, :, 0], layer.input.bias.detach().numpy()
    above = layer.state.weight.detach().numpy()
    image = x[0].numpy()
    output, cell = np.zeros((2, 5, 7)), np.zeros((2, 5, 7))  # a row and columns of zeros around
    for row in range(4):
        for column in range(5):
            gates = bias + own[:, :, 1] @ image[:, row, column]
            if column:
                gates = gates + own[:, :, 0] @ image[:, row, column - 1]
            for tap in range(3):
                gates = gates + above[:, :, tap] @ output[:, row, column + tap]
            o, f, i, g = gates.reshape(4, 2)
            state = sigmoid(f) * cell[:, row, column + 1] + sigmoid(i) * np.tanh(g)
            cell[:, row + 1, column + 1] = state
            output[:, row + 1, column + 1] = sigmoid(o) * np.tanh(state)
    np.testing.assert_allclose(found, output[:, 1:, 1:-1], rtol=1e-12)


def test_pixels_above_are_seen_in_a_triangle() -> None:
    net = small(height=4, width=7, first_kernel=1, layers=1)
    with torch.no_grad():  # a first layer that hands on the pixel to the left
        net.module.first.weight.fill_(0)
    assert not dependencies(net, 28).any()
    net = small(height=4, width=7, first_kernel=3)
    seen = dependencies(net, 28)
    for site in range(28):
        row, column = divmod(site, 7)
        for other in range(28):
            up, across = row - other // 7, other % 7 - column
            # the first layer adds a pixel to either side above and one to the left
            inside = (up > 0 and -up - 2 <= across <= up) or (up == 0 and -2 <= across < 0)
            if seen[site, other]:
                assert inside, (site, other)
    assert seen[24, [23, 17, 16, 15, 9, 2, 3]].all()


def test_channels_come_one_after_the_other() -> None:
    net = small(3, 2, 3, hidden=3, layers=2, final=[], activate_first=False)
    seen = dependencies(net, 6)
    assert not np.triu(seen).any()
    for pixel in seen.reshape(6, 3, 6, 3)[range(6), :, range(6)]:
        assert pixel[[1, 2, 2], [0, 0, 1]].all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel": 4}, "kernel must be odd"),
        ({"first_kernel": 2}, "first_kernel must be odd"),
        ({"channels": 4, "hidden": 4, "in": 3}, "multiples of 3"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, int], message: str) -> None:
    colours = options.pop("in", 1)
    with pytest.raises(ValueError, match=message):
        small(channels=colours) if "in" in options else network(
            "row-lstm", DataSpec("image", (colours, 2, 2), 2), BITS,
            **{"channels": 6, "layers": 1, **options},
        )  # fmt: skip
