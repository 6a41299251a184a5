"""PixelCNN++: what its streams see, its weight norm, its colours."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.models.cases import dependencies, network
from torch import nn

from ancestral.models import DataSpec
from ancestral.models.pixelcnn_pp import DOWN, RIGHT, Conv, Grow, PixelCNNPP

MIXTURE = {"kind": "discretized-logistic-mixture", "components": 2, "channels": 3, "levels": 4}


def sees(layer: nn.Module, row: int, column: int, size: int = 6) -> set[tuple[int, int]]:
    """The inputs that output (row, column) of a layer of one channel depends on."""
    x = torch.randn(1, 1, size, size, requires_grad=True)
    layer(x)[0, 0, row, column].backward()
    assert x.grad is not None
    return {(int(r), int(c)) for _, _, r, c in x.grad.nonzero()}


def test_windows_of_the_two_streams() -> None:
    torch.manual_seed(0)
    down, right = Conv(1, 1, DOWN), Conv(1, 1, RIGHT)
    assert sees(down, 3, 3) == {(2, 2), (2, 3), (2, 4), (3, 2), (3, 3), (3, 4)}
    assert sees(right, 3, 3) == {(2, 2), (2, 3), (3, 2), (3, 3)}
    assert sees(Conv(1, 1, DOWN, stride=2), 1, 1) == {(r, c) for r in (1, 2) for c in (1, 2, 3)}
    assert sees(Conv(1, 1, RIGHT, stride=2), 1, 1) == {(r, c) for r in (1, 2) for c in (1, 2)}


def test_growing_reads_no_later_row_or_column() -> None:
    torch.manual_seed(0)
    down, right = Grow(1, DOWN), Grow(1, RIGHT)
    assert down(torch.randn(1, 1, 3, 4)).shape == right(torch.randn(1, 1, 3, 4)).shape
    for row in range(6):
        for column in range(6):
            assert sees(right, row, column, 3) == {(row // 2, column // 2)}
            assert {r for r, _ in sees(down, row, column, 3)} == {row // 2}


@pytest.mark.parametrize("layer", [Conv(3, 4, DOWN), Grow(3, RIGHT)])
def test_weight_norm_makes_the_length_of_each_output_its_gain(layer: Conv | Grow) -> None:
    """Salimans and Kingma 2016, equation 2: the length of v does not matter, that of w is g."""
    x = torch.randn(2, 3, 4, 4)
    before = layer(x)
    with torch.no_grad():
        layer.weight.mul_(7)
    torch.testing.assert_close(layer(x), before)
    assert layer.gain is not None
    assert layer.bias is not None
    with torch.no_grad():
        layer.gain.mul_(2)
        layer.bias.mul_(2)
    torch.testing.assert_close(layer(x), 2 * before)


@pytest.mark.parametrize("shape", [(3, 4, 4), (3, 5, 3), (3, 1, 7)])
def test_a_joint_mixture_reads_earlier_pixels_alone(shape: tuple[int, int, int]) -> None:
    data = DataSpec(kind="image", shape=shape, levels=4)
    net = network("pixelcnn-pp", data, MIXTURE, channels=3, layers=1)
    codes = torch.randint(0, 4, (1, *shape))
    base = net(codes)
    assert base.shape == (1, *shape[1:], 1, 20)
    place = np.arange(shape[1] * shape[2]).reshape(shape[1:])
    for row, column in np.ndindex(*shape[1:]):
        other = codes.clone()
        other[:, :, row, column] = (other[:, :, row, column] + 1) % 4
        changed = (net(other) - base).abs().amax((0, 3, 4)).detach().numpy() > 1e-10
        assert not changed[place <= place[row, column]].any()


def test_no_blind_spot() -> None:
    data = DataSpec(kind="image", shape=(1, 4, 5), levels=2)
    net = network("pixelcnn-pp", data, {"kind": "bernoulli"}, channels=4, layers=2, scales=2)
    seen = dependencies(net, 20)
    assert (seen == np.tril(np.ones((20, 20), dtype=bool), -1)).all()


def test_sizes_must_be_positive() -> None:
    with pytest.raises(ValueError, match="scales 0"):
        PixelCNNPP(1, 2, channels=2, layers=1, scales=0)
