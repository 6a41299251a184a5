"""Gated PixelCNN against the masked convolutions of its paper."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.models.cases import dependencies, network

from ancestral.models import DataSpec
from ancestral.models.gated_pixelcnn import GatedLayer, GatedPixelCNN, HorizontalConv, VerticalConv

BITS = {"kind": "bernoulli"}


def masked(weight: torch.Tensor, kernel: int, *, vertical: bool) -> torch.Tensor:
    """The k×k (or 1×k) kernel with zeros on what may not be seen."""
    full = torch.zeros(*weight.shape[:2], kernel if vertical else 1, kernel)
    full[:, :, : weight.shape[2], : weight.shape[3]] = weight
    return full


@pytest.mark.parametrize(
    ("kernel", "dilation", "own"),
    # only the first layer, which is not dilated, leaves its own row or pixel out
    [(3, 1, False), (5, 1, False), (3, 1, True), (5, 1, True), (3, 2, True), (5, 2, True)],
)
def test_taps_equal_masked_kernels(kernel: int, dilation: int, own: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 9, 8)
    half = kernel // 2 * dilation
    down = VerticalConv(3, 4, kernel, dilation, include_row=own)
    reference = F.conv2d(
        x, masked(down.weight, kernel, vertical=True), down.bias, 1, half, dilation
    )
    torch.testing.assert_close(down(x), reference)
    right = HorizontalConv(3, 4, kernel, dilation, include_pixel=own)
    reference = F.conv2d(
        x, masked(right.weight, kernel, vertical=False), right.bias, 1, (0, half), dilation
    )
    torch.testing.assert_close(right(x), reference)


def test_a_layer_is_figure_2() -> None:
    torch.manual_seed(0)
    layer = GatedLayer(4, 3, 1, [5], 1, planes=1)
    v, h, s = torch.randn(3, 2, 4, 5, 6)
    label = torch.tensor([1, 3])
    of_plane = torch.einsum("oc,bchw->bohw", layer.planes[0].weight[:, :, 0, 0], s)  # equation 5
    bias = layer.labels[0](label)[:, :, None, None] + of_plane
    down = layer.vertical(v)
    right = layer.horizontal(h) + layer.vertical_to_horizontal(down)
    a, b = (down + bias[:, :8]).split(4, 1)
    c, d = (right + bias[:, 8:]).split(4, 1)
    new_v, new_h = layer(v, h, [label], [s])
    torch.testing.assert_close(new_v, a.tanh() / (1 + (-b).exp()))
    torch.testing.assert_close(new_h, h + layer.residual(c.tanh() / (1 + (-d).exp())))


def test_no_blind_spot() -> None:
    """With depth enough, a pixel sees every earlier one, the far right of the rows above too."""
    data = DataSpec(kind="image", shape=(1, 5, 6), levels=2)
    net = network(
        "gated-pixelcnn", data, BITS, channels=4, dilations=[1, 1, 1, 1, 1], first_kernel=3
    )
    expected = np.tril(np.ones((30, 30), dtype=bool), -1)
    # one layer widens the sight by a column a row: columns far to the right of the row above
    seen = dependencies(net, 30)
    rows, columns = np.divmod(np.arange(30), 6)
    reach = 1 + 5
    near = np.abs(columns[:, None] - columns[None, :]) <= reach
    assert (seen == (expected & near & (rows[:, None] - rows[None, :] <= reach))).all()


def test_channels_of_a_pixel_come_in_order() -> None:
    data = DataSpec(kind="image", shape=(3, 1, 2), levels=4)
    net = network(
        "gated-pixelcnn",
        data,
        {"kind": "categorical", "levels": 4},
        channels=6,
        dilations=[1],
        final=[6],
    )
    assert (dependencies(net, 2) == np.tril(np.ones((6, 6), dtype=bool), -1)).all()


def test_channels_of_a_joint_likelihood_do_not_see_each_other() -> None:
    data = DataSpec(kind="image", shape=(3, 1, 3), levels=4)
    mixture = {"kind": "discretized-logistic-mixture", "components": 1, "channels": 3, "levels": 4}
    net = network("gated-pixelcnn", data, mixture, channels=6, dilations=[1])
    codes = torch.zeros(1, 3, 1, 3, dtype=torch.int64)
    other = codes.clone()
    other[0, 1, 0, 1] = 2  # green of the middle pixel
    change = (net(other) - net(codes)).abs().amax((0, 1, 3, 4))
    assert change[:2].tolist() == [0, 0]
    assert change[2] > 0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kernel": 4}, "kernel must be odd"),
        ({"first_kernel": 1}, "first_kernel must be odd"),
        ({"groups": 3}, "must be multiples of 3"),
        ({"activation": "swish"}, "unknown activation"),
    ],
)
def test_hyperparameters_that_make_no_sense(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GatedPixelCNN(1, 2, channels=4, dilations=[1], **fields)  # type: ignore[arg-type]
