"""Rounded weights: nearest in their format, the same however they are cut, and used by all."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from ancestral.compile.capture import capture
from ancestral.compile.fold import folded_weights
from ancestral.compile.graph_network import Ends, GraphNetwork
from ancestral.likelihoods import Categorical, from_config
from ancestral.models import DataSpec, build
from ancestral.models.axes import Layout
from ancestral.models.pixelcnn_pp import Conv, Grow
from ancestral.models.rounding import matrices, round_weights, rounded, scales

IMAGE = DataSpec("image", (3, 4, 4), 8)
MIXTURE = {"kind": "discretized-logistic-mixture", "components": 3, "channels": 3, "levels": 8}


def test_bfloat16_keeps_eight_bits_of_the_significand() -> None:
    # 1 + 1/256 lies between 1 and 1 + 1/128: ties go to even
    found = rounded(torch.tensor([[1 + 1 / 256, 1 + 3 / 256, -3.14159265]]), "bf16")
    assert found.tolist() == [[1.0, 1 + 4 / 256, -3.140625]]


def test_eight_bits_are_whole_numbers_times_a_power_of_two() -> None:
    torch.manual_seed(0)
    matrix = torch.randn(50, 33) * torch.logspace(-6, 3, 50)[:, None]
    found = rounded(matrix, "int8").numpy()
    for row, given in zip(found, matrix.numpy(), strict=True):
        step = 2.0 ** np.ceil(np.log2(np.abs(given).max() / 127))
        codes = row / step
        assert (codes == np.rint(codes)).all()
        assert np.abs(codes).max() <= 127
        assert np.abs(row - given).max() <= step / 2


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_rounding_again_changes_nothing_even_of_a_part(precision: str) -> None:
    torch.manual_seed(1)
    once = rounded(torch.randn(20, 40), precision)  # type: ignore[arg-type]
    part = once[:, ::3] * (torch.rand(20, 14) > 0.5)
    assert torch.equal(rounded(part, precision), part)  # type: ignore[arg-type]
    assert torch.equal(rounded(once.T, precision, 1), once.T)  # type: ignore[arg-type]


def test_scale_of_zeros_is_one_and_of_a_power_of_two_not_wasted() -> None:
    rows = torch.tensor([[0.0, 0.0], [127.0, 1.0], [127.5, 1.0]])
    assert scales(rows).tolist() == [1.0, 1.0, 2.0]


def test_normed_weights_are_rounded_as_they_are_applied() -> None:
    torch.manual_seed(0)
    net = build("pixelcnn-pp", {"channels": 4, "layers": 1, "scales": 2}, IMAGE,
                from_config(MIXTURE)).eval()  # fmt: skip
    codes = torch.randint(0, 8, (2, *IMAGE.shape))
    with torch.no_grad():
        before = net(codes)
        for _ in matrices(net):
            pass
        assert torch.equal(net(codes), before)  # settled, not yet rounded
    round_weights(net, "int8")
    convs = [m for m in net.modules() if isinstance(m, Conv | Grow)]
    assert {type(conv) for conv in convs} == {Conv, Grow}
    for conv in convs:
        axis = 1 if isinstance(conv, Grow) else 0
        assert torch.equal(rounded(conv.normed(), "int8", axis), conv.normed())
    with torch.no_grad():
        assert not torch.equal(net(codes), before)


def test_of_a_graph_the_constants_that_products_read_are_rounded() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Embedding(8, 6), nn.Linear(6, 8)).eval()
    sites = torch.zeros(2, 5, dtype=torch.int64)
    graph = folded_weights(capture(module, (sites,), [{0: "batch", 1: "sites"}]))
    data = DataSpec("sequence", (), 8)
    ends = Ends(Layout.parse("b t", "bchwtk"), Layout.parse("b t p", "bchwtp"), "int", "next", 0)
    net = GraphNetwork(graph, data, Categorical(8), ends)
    ((weight, axis),) = matrices(net)
    applied = module[1].weight if axis == 0 else module[1].weight.T
    assert torch.equal(weight, applied)
    round_weights(net, "bf16")
    codes = torch.randint(0, 8, (2, 5))
    module[1].weight.data = module[1].weight.data.bfloat16().float()
    shifted = torch.cat([torch.zeros(2, 1, dtype=torch.int64), codes[:, :-1]], 1)
    assert torch.allclose(net(codes)[:, :, 0], module(shifted))
