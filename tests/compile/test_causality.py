"""A network that reads its future is refused, with the operators from the leak to the output."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from tests.causal import Categorical, Function, network
from torch import Tensor, nn

from ancestral.compile import CausalityError, UnsupportedOperator, compile_network
from ancestral.models import DataSpec, build

H, W = 4, 5


def conv(mask: list[list[float]], channels: int = 1, out: int = 3) -> nn.Conv2d:
    torch.manual_seed(0)
    layer = nn.Conv2d(channels, out, (len(mask), len(mask[0])), padding=1)
    with torch.no_grad():
        layer.weight *= torch.tensor(mask)
    return layer


CAUSAL = [[1.0, 1, 1], [1, 0, 0], [0, 0, 0]]


def plain(m: Function, x: Tensor) -> Tensor:
    return m.a(x)


def unshifted(m: Function, x: Tensor) -> Tensor:
    return m.out(F.relu(m.a(x)))


def padded_on_the_wrong_side(m: Function, x: Tensor) -> Tensor:
    return m.out(F.pad(F.relu(m.a(x)), (0, 1))[..., 1:])


def normalised_over_positions(m: Function, x: Tensor) -> Tensor:
    h = F.relu(m.a(x))
    return m.out(h / h.mean((2, 3), keepdim=True))


def squeeze_and_excitation(m: Function, x: Tensor) -> Tensor:
    h = F.relu(m.a(x))
    return m.out(h * torch.sigmoid(m.gate(h.mean((2, 3)))[:, :, None, None]))


def attention(m: Function, x: Tensor, diagonal: int | None) -> Tensor:
    token = m.token(x.flatten(1))
    h = torch.cat([m.start.weight[None].expand(x.shape[0], 1, -1), token[:, :-1]], 1)
    scores = m.q(h) @ m.k(h).mT / math.sqrt(6)
    if diagonal is not None:
        future = torch.ones(H * W, H * W, dtype=torch.bool).triu(diagonal)
        scores = scores.masked_fill(future, -math.inf)
    return m.out(scores.softmax(-1) @ m.v(h))


def projections() -> dict[str, nn.Module]:
    torch.manual_seed(1)
    return {
        "token": nn.Embedding(3, 6), "start": nn.Embedding(1, 6), "q": nn.Linear(6, 6),
        "k": nn.Linear(6, 6), "v": nn.Linear(6, 6), "out": nn.Linear(6, 3),
    }  # fmt: skip


LEAKS = {
    "a plain convolution": (plain, {"a": conv([[1.0] * 3] * 3)}, "+1 rows, +1 columns"),
    "a mask that includes the pixel": (
        plain, {"a": conv([[1.0, 1, 1], [1, 1, 0], [0, 0, 0]])}, "+0 rows, +0 columns",
    ),
    "a mask off by one": (
        plain, {"a": conv([[1.0, 1, 1], [1, 0, 1], [0, 0, 0]])}, "+0 rows, +1 columns",
    ),
    "an unshifted first layer": (
        unshifted,
        {"a": nn.Conv2d(1, 6, 1), "out": conv([[1.0, 1, 1], [1, 1, 0], [0, 0, 0]], 6)},
        "+0 rows, +0 columns",
    ),
    "padding on the wrong side": (
        padded_on_the_wrong_side, {"a": conv(CAUSAL, out=6), "out": nn.Conv2d(6, 3, 1)},
        "+0 rows, +0 columns",
    ),
    "normalisation over positions": (
        normalised_over_positions, {"a": conv(CAUSAL, out=6), "out": nn.Conv2d(6, 3, 1)},
        "all positions",
    ),
    "squeeze and excitation": (
        squeeze_and_excitation,
        {"a": conv(CAUSAL, out=6), "gate": nn.Linear(6, 6), "out": nn.Conv2d(6, 3, 1)},
        "all positions",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LEAKS)
def test_a_leak_is_refused_with_its_path(name: str) -> None:
    function, layers, offset = LEAKS[name]
    with pytest.raises(CausalityError) as refused:
        compile_network(network(Function(function, **layers), (1, H, W)))
    error = refused.value
    assert "not causal" in str(error)
    assert offset in str(error)
    assert error.path[0].startswith("input codes")
    assert error.path[-1].startswith("aten.conv2d")


@pytest.mark.parametrize(
    ("diagonal", "reads"), [(None, "positions"), (2, "+0 positions"), (3, "+1 positions")]
)
def test_attention_that_sees_the_future_is_refused(diagonal: int | None, reads: str) -> None:
    module = Function(lambda m, x: attention(m, x, diagonal), **projections())
    net = network(module, (1, H, W), encoding="int", layout="channels-last")
    with pytest.raises(CausalityError) as refused:
        compile_network(net)
    assert reads in str(refused.value)
    assert any("matmul" in step for step in refused.value.path)


def test_attention_to_the_own_position_behind_a_shift_is_causal() -> None:
    module = Function(lambda m, x: attention(m, x, 1), **projections())
    net = network(module, (1, H, W), encoding="int", layout="channels-last")
    assert compile_network(net).site_steps


def test_fused_attention_without_a_mask_is_refused() -> None:
    def fused(m: Function, x: Tensor) -> Tensor:
        h = F.pad(m.token(x), (0, 0, 1, 0))[:, :-1]
        return m.out(F.scaled_dot_product_attention(m.q(h), m.k(h), m.v(h)))

    net = network(Function(fused, **projections()), (9,), kind="vector", encoding="int",
                  layout="channels-last")  # fmt: skip
    with pytest.raises(CausalityError, match="positions"):
        compile_network(net)


def test_a_channel_that_reads_a_later_channel_is_refused() -> None:
    net = build(
        "gated-pixelcnn",
        {"channels": 6, "dilations": [1]},
        DataSpec("image", (3, H, W), 4),
        Categorical(4),
    ).eval()
    assert compile_network(net).subs == 3
    last = net.module.final[0]
    last.mask = torch.ones_like(last.mask)
    with pytest.raises(CausalityError, match="channel"):
        compile_network(net)


def test_a_masked_linear_layer_with_one_weight_too_many_names_the_site() -> None:
    net = build("made", {"hidden": [7]}, DataSpec("vector", (6,), 3), Categorical(3)).eval()
    assert compile_network(net).space == "elements"
    net.module.output.mask_0[3 * 2 : 3 * 2 + 3] = (
        True  # the output of site 2 reads every hidden unit
    )
    with pytest.raises(CausalityError, match="the output of site 2 reads the input at site 4"):
        compile_network(net)


class Wrong(nn.Module):
    """Right but for its last layer, which is not masked."""

    def __init__(self) -> None:
        super().__init__()
        self.first = conv(CAUSAL, out=6)
        self.last = nn.Conv2d(6, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.first(x))
        return self.last(h)


class Sorted(Wrong):
    def forward(self, x: Tensor) -> Tensor:
        return self.first(x).sort(1).values[:, :3]


def test_the_path_runs_from_the_input_to_the_output_with_the_models_lines() -> None:
    with pytest.raises(CausalityError) as refused:
        compile_network(network(Wrong(), (1, H, W)))
    path = refused.value.path
    assert [step.split()[0] for step in path if "conv2d" in step or "relu" in step] == [
        "aten.conv2d.default", "aten.relu.default", "aten.conv2d.default",
    ]  # fmt: skip
    assert "h = F.relu(self.first(x))" in next(step for step in path if "relu" in step)
    assert "return self.last(h)" in path[-1]
    assert "test_causality.py:" in path[-1]


def test_an_operator_without_a_rule_is_named_with_its_line() -> None:
    with pytest.raises(UnsupportedOperator, match=r"aten\.sort.*test_causality\.py:\d+: return"):
        compile_network(network(Sorted(), (1, H, W)))
