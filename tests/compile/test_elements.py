"""The derivation by elements: what it covers, what it costs, what it refuses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.causal import Function, drawn, network
from torch import Tensor, nn

from ancestral.compile import CausalityError, CompileError, ElementProgram
from ancestral.likelihoods import Categorical
from ancestral.models import DataSpec, Network
from ancestral.runtimes.derive import derive
from ancestral.runtimes.naive import NaiveRuntime
from ancestral.runtimes.reference import ReferenceRuntime


def strided() -> Network:
    """Down by two and up again beside the full resolution, as PixelCNN++ does."""

    def forward(m: nn.Module, x: Tensor) -> Tensor:
        above = m.first(F.pad(x, (1, 1, 2, 0)))[:, :, :-1]
        low = m.down(F.pad(above, (0, 0, 1, 0))[:, :, : x.shape[2]])
        return m.out(F.elu(above + m.up(F.elu(low))))

    layers = {
        "first": nn.Conv2d(1, 6, (2, 3)),
        "down": nn.Conv2d(6, 5, 2, stride=2),
        "up": nn.ConvTranspose2d(5, 6, 2, stride=2),
        "out": nn.Conv2d(6, 3, 1),
    }
    return network(Function(forward, **layers), (1, 6, 4))


def unrolled() -> Network:
    """A recurrence over the rows of an image, written as a loop."""

    def forward(m: nn.Module, x: Tensor) -> Tensor:
        state = torch.zeros_like(x[:, :, 0]).expand(-1, 5, -1)
        rows = []
        for row in range(x.shape[2]):
            rows.append(m.out(state))
            state = torch.tanh(m.own(x[:, :, row]) + m.state(state))
        return torch.stack(rows, 2)

    layers = {"own": nn.Conv1d(1, 5, 3, padding=1), "state": nn.Conv1d(5, 5, 3, padding=1)}
    return network(Function(forward, out=nn.Conv1d(5, 3, 1), **layers), (1, 4, 5))


def channels_as_positions() -> Network:
    """A transformer over the sequence of all channels of all pixels."""

    def forward(m: nn.Module, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        h = m.embed(x.permute(0, 2, 3, 1).reshape(batch, -1))
        h = torch.cat([m.start.weight.expand(batch, 1, -1), h[:, :-1]], 1)
        q, k, v = m.qkv(m.norm(h)).view(batch, -1, 2, 12).permute(0, 2, 1, 3).chunk(3, -1)
        h = h + F.scaled_dot_product_attention(q, k, v, is_causal=True).permute(0, 2, 1, 3).flatten(
            2
        )
        return m.out(F.gelu(h)).view(batch, height, width, channels * 3)

    module = Function(
        forward, embed=nn.Embedding(3, 8), start=nn.Embedding(1, 8), norm=nn.LayerNorm(8),
        qkv=nn.Linear(8, 24), out=nn.Linear(8, 3),
    )  # fmt: skip
    return network(module, (3, 2, 3), encoding="int", layout="channels-last")


def unfolded() -> Network:
    """A masked convolution as a product with unfolded patches."""

    def forward(m: nn.Module, x: Tensor) -> Tensor:
        seen = torch.tensor([1.0] * 4 + [0.0] * 5)
        patches = F.unfold(x, 3, padding=1) * seen[None, :, None]
        h = torch.relu(m.first(patches.transpose(1, 2)))
        return m.out(h).view(x.shape[0], *x.shape[2:], 3)

    module = Function(forward, first=nn.Linear(9, 7), out=nn.Linear(7, 3))
    return network(module, (1, 4, 5), layout="channels-last")


def rolled() -> Network:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        inside = torch.ones(x.shape[-1])
        inside[0] = 0
        return m.out(torch.tanh(m.first(torch.roll(x, 1, -1) * inside)))

    module = Function(forward, first=nn.Conv2d(1, 6, 1), out=nn.Conv2d(6, 3, 1))
    return network(module, (1, 3, 4))


def shuffled() -> Network:
    """Rows of two by two blocks shuffled into channels and back, below a shift of two rows."""

    def forward(m: nn.Module, x: Tensor) -> Tensor:
        low = m.low(F.pixel_unshuffle(x, 2))
        return F.pad(m.out(F.pixel_shuffle(low, 2)), (0, 0, 2, 0))[:, :, :-2]

    module = Function(forward, low=nn.Conv2d(4, 8, 1), out=nn.Conv2d(2, 3, 1))
    return network(module, (1, 6, 4))


def axial() -> Network:
    """Attention within rows, written out, then within columns, fused."""

    def forward(m: nn.Module, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        h = m.embed(F.pad(x, (1, 0))[..., :-1].permute(0, 2, 3, 1))
        q, k, v = m.qkv(h).chunk(3, -1)
        future = ~torch.ones(width, width, dtype=torch.bool).tril()
        weights = (q @ k.transpose(-1, -2) / 8**0.5).masked_fill(future, float("-inf")).softmax(-1)
        h = h + weights @ v
        q, k, v = (part.permute(0, 2, 1, 3) for part in m.qkv(h).chunk(3, -1))
        past = torch.ones(height, height, dtype=torch.bool).tril()
        above = F.scaled_dot_product_attention(q, k, v, attn_mask=past).permute(0, 2, 1, 3)
        return m.out(torch.relu(h + F.pad(above, (0, 0, 0, 0, 1, 0))[:, :-1]))

    module = Function(forward, embed=nn.Linear(1, 8), qkv=nn.Linear(8, 24), out=nn.Linear(8, 3))
    return network(module, (1, 4, 5), layout="channels-last")


NETWORKS: list[Callable[[], Network]] = [
    strided, unrolled, channels_as_positions, unfolded, rolled, shuffled, axial,
]  # fmt: skip


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("make", NETWORKS)
def test_samples_are_those_of_the_naive_loop(make: Callable[[], Network]) -> None:
    net = make()
    program = derive(net)
    assert isinstance(program, ElementProgram)
    sites = net.data.sites()
    slow = drawn(NaiveRuntime(net, 3, dtype=torch.float64), sites, range(3))
    fast = drawn(ReferenceRuntime(program, net, 2), sites, range(3), staggered=True)
    for item in range(3):
        assert (slow[item] == fast[item]).all()
    prefix = slow[0][: sites // 2 + 1]
    again = drawn(ReferenceRuntime(program, net, 1), sites, [0], prefix=prefix)
    assert (again[0] == slow[0]).all()


def test_a_strided_layer_computes_only_where_its_clock_ticks() -> None:
    program = derive(strided())
    assert isinstance(program, ElementProgram)
    sizes = {}
    for step in program.steps:
        if step.kind.startswith("conv"):
            done = sum(len(part.rows) for part in step.parts)
            sizes[step.node] = sizes.get(step.node, 0) + done
    # full maps of 6 × 4 but for what nothing reads; the low one has 3 × 2 positions
    assert list(sizes.values()) == [24, 6, 24, 24]
    by_hand = 24 * 6 * 6 + 6 * 4 * 6 * 5 + 24 * 5 * 6 + 24 * 6 * 3
    assert program.macs_per_item(24) <= by_hand


def test_rows_whose_inputs_are_known_are_computed_together() -> None:
    program = derive(unrolled())
    assert isinstance(program, ElementProgram)
    states = [s for s in program.steps if s.op == "aten.tanh.default"]
    assert len(states) == 3  # the last row's state is read by nothing
    for step in states:
        (part,) = step.parts
        assert len(part.times) == 1  # all columns when the next row starts
        assert part.times[0] % 5 == 0


def test_a_leak_through_a_shuffle_is_named() -> None:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        return m.out(F.pixel_shuffle(m.low(F.pixel_unshuffle(x, 2)), 2))

    net = network(Function(forward, low=nn.Conv2d(4, 4, 1), out=nn.Conv2d(1, 3, 1)), (1, 4, 4))
    with pytest.raises(
        CausalityError, match=r"site \(0, 0\) reads the input at site \(1, 1\)"
    ) as e:
        derive(net)
    assert e.value.path[0].startswith("input codes")
    assert "aten.conv2d" in e.value.path[-1]


def test_items_that_read_each_other_are_refused() -> None:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        return m.out(torch.roll(x, 1, -1).clone() * 0 + x.mean(0, keepdim=True) * 0.1)

    data = DataSpec("vector", (4,), 3)
    net = Network(Function(forward, out=nn.Linear(4, 12)), data, "unit", "channels-last",
                  Categorical(3)).eval()  # fmt: skip
    with pytest.raises(CompileError, match="other items of its batch"):
        derive(net)


def test_any_order_can_be_asked_for() -> None:
    """A lower triangular layer in the order that a permutation gives its sites."""
    order = np.array([3, 0, 4, 1, 2])
    ranks = np.argsort(order)
    mask = torch.from_numpy(ranks[None, :] < ranks[:, None])
    layer = nn.Linear(5, 5)
    layer.weight.data *= mask

    def forward(m: nn.Module, x: Tensor) -> Tensor:
        h = m.layer(x)
        return torch.stack([h, -h, h * h], -1)

    net = Network(Function(forward, layer=layer), DataSpec("vector", (5,), 3), "unit",
                  "channels-last", Categorical(3)).eval()  # fmt: skip
    program = derive(net, order=order)
    slow = drawn(NaiveRuntime(net, 1, dtype=torch.float64, order=order), 5, [0])
    fast = drawn(ReferenceRuntime(program, net, 1), 5, [0])
    assert (slow[0] == fast[0]).all()
    with pytest.raises(CausalityError):
        derive(net)  # not in raster order
