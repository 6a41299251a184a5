"""Diagonal BiLSTM: both directions by hand, all earlier pixels seen, no state from outside."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.models.cases import dependencies, network

from ancestral.models import ConditionSpec, DataSpec, Network
from ancestral.models.diagonal_bilstm import Diagonal, DiagonalLayer, skew, unskew

BITS = {"kind": "bernoulli"}


def small(channels: int = 1, height: int = 3, width: int = 4, **changes: object) -> Network:
    hyper = {"channels": 6, "layers": 1, "first_kernel": 3, "final": [6], **changes}
    data = DataSpec("image", (channels, height, width), 2)
    return network("diagonal-bilstm", data, BITS, **hyper)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def by_hand(layer: Diagonal, image: np.ndarray) -> np.ndarray:
    """A two-dimensional LSTM without skewing: states come from above and from the left."""
    own, bias = layer.input.weight.detach().numpy()[:, :, 0, 0], layer.input.bias.detach().numpy()
    weight = layer.state.weight.detach().numpy()
    _, height, width = image.shape
    output = np.zeros((layer.hidden, height + 1, width + 1))
    cell = np.zeros_like(output)
    for row in range(height):
        for column in range(width):
            gates = own @ image[:, row, column] + bias
            gates = gates + weight[:, :, 0] @ output[:, row, column + 1]  # above
            gates = gates + weight[:, :, 1] @ output[:, row + 1, column]  # to the left
            o, f, i, g = gates.reshape(4, layer.hidden)
            # the cell lies on the diagonal before, in the same row of the skewed map
            state = sigmoid(f) * cell[:, row + 1, column] + sigmoid(i) * np.tanh(g)
            cell[:, row + 1, column + 1] = state
            output[:, row + 1, column + 1] = sigmoid(o) * np.tanh(state)
    return output[:, 1:, 1:]


def test_a_layer_is_two_lstms_over_the_plane() -> None:
    torch.manual_seed(0)
    layer = DiagonalLayer(3, 2, state_bias=False, groups=1).double()
    x = torch.randn(1, 3, 4, 5, dtype=torch.float64)
    with torch.no_grad():
        found = layer(x)[0].numpy()
    image = x[0].numpy()
    wanted = by_hand(layer.left, image)
    wanted[:, 1:] += by_hand(layer.right, image[:, :, ::-1])[:, :-1, ::-1]
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 4), (5, 1), (3, 4), (4, 3)])
def test_skewing_moves_row_i_by_i_positions(height: int, width: int) -> None:
    x = torch.randn(2, 3, height, width)
    skewed = skew(x)
    wanted = torch.zeros(2, 3, height, height + width - 1)
    for row in range(height):
        wanted[:, :, row, row : row + width] = x[:, :, row]
    assert torch.equal(skewed, wanted)
    assert torch.equal(unskew(skewed), x)


def test_every_earlier_pixel_is_seen_and_no_later_one() -> None:
    net = small(height=4, width=5)
    seen = dependencies(net, 20)
    assert not np.triu(seen).any()
    last = seen[-1]
    assert last[:-1].all()  # one layer sees the whole image (figure 2, right)


def test_channels_come_one_after_the_other() -> None:
    net = small(3, 2, 3, hidden=3, layers=2, final=[], activate_first=False)
    seen = dependencies(net, 6)
    assert not np.triu(seen).any()
    for pixel in seen.reshape(6, 3, 6, 3)[range(6), :, range(6)]:
        assert pixel[[1, 2, 2], [0, 0, 1]].all()


def test_states_outside_the_image_are_zero_unless_they_have_a_bias() -> None:
    torch.manual_seed(0)
    plain, biased = Diagonal(2, 3, False, 1), Diagonal(2, 3, True, 1)
    biased.load_state_dict(plain.state_dict() | {"state.bias": torch.zeros(12)})
    image = torch.randn(1, 2, 4, 3)
    assert torch.equal(plain(image), biased(image))
    biased.state.bias.data += 0.3  # moved to the input, which is not there outside the image
    plain.input.bias.data += 0.3
    outside = (plain(image) - biased(image)).abs().amax((0, 1))
    assert outside[0].max() < 1e-6  # nothing lies before the first row
    assert outside[1:, 0].min() > 1e-4


def test_what_cannot_be_modelled() -> None:
    label = ConditionSpec(name="label", kind="label", classes=3)
    with pytest.raises(ValueError, match="no conditions"):
        network("diagonal-bilstm", DataSpec("image", (1, 2, 2), 2), BITS, label,
                channels=2, layers=1)  # fmt: skip
    with pytest.raises(ValueError, match="not audio"):
        network("diagonal-bilstm", DataSpec("audio", (), 2, 8000), BITS, channels=2, layers=1)
