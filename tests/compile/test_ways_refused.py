"""What is not causal, or not in eval form, is refused with the place that is to blame."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from tests.causal import Function, network
from tests.ways import A, B, Layers, Way, masked
from torch import Tensor, nn

from ancestral.compile import (
    CausalityError,
    Codes,
    CompileError,
    Ref,
    UnsupportedOperator,
    compile_graph,
    compile_network,
)
from ancestral.compile.capture import capture

H, W = 4, 6


def layers(**extra: nn.Module) -> Layers:
    torch.manual_seed(1)
    first = masked(nn.Conv2d(1, 6, 3, padding=1), A)
    return {"a": first, "b": masked(nn.Conv2d(6, 3, 3, padding=1), B), **extra}


def group_norm(m: Function, x: Tensor) -> Tensor:
    return m.b(F.group_norm(m.a(x), 2))


def instance_norm(m: Function, x: Tensor) -> Tensor:
    return m.b(F.instance_norm(m.a(x)))


def layer_norm_over_the_image(m: Function, x: Tensor) -> Tensor:
    return m.b(F.layer_norm(m.a(x), (6, H, W)))


def global_pooling(m: Function, x: Tensor) -> Tensor:
    h = m.a(x)
    return m.b(h + F.adaptive_avg_pool2d(h, 1))


def pooling_of_neighbours(m: Function, x: Tensor) -> Tensor:
    return m.b(F.avg_pool2d(m.a(x), 3, stride=1, padding=1))


def squeeze_and_excitation(m: Function, x: Tensor) -> Tensor:
    h = m.a(x)
    return m.b(h * torch.sigmoid(torch.einsum("bchw,co->bo", h, m.gate.weight))[..., None, None])


def softmax_over_positions(m: Function, x: Tensor) -> Tensor:
    h = m.a(x)
    return m.b(h.flatten(2).softmax(-1).view(h.shape))


def rolled_without_a_mask(m: Function, x: Tensor) -> Tensor:
    return m.b(torch.roll(m.a(x), 1, -1))


def shift_assigned_to_the_wrong_side(m: Function, x: Tensor) -> Tensor:
    h = torch.zeros_like(x)
    h[:, :, :, :-1] = x[:, :, :, 1:]
    return m.b(m.a(h))


LEAKS: list[Way] = [
    group_norm, instance_norm, layer_norm_over_the_image, global_pooling, pooling_of_neighbours,
    squeeze_and_excitation, softmax_over_positions, rolled_without_a_mask,
    shift_assigned_to_the_wrong_side,
]  # fmt: skip


@pytest.mark.parametrize("function", LEAKS)
def test_an_image_network_that_leaks_is_refused_with_the_path(function: Way) -> None:
    net = network(Function(function, **layers(gate=nn.Linear(6, 6))), (1, H, W))
    with pytest.raises(CausalityError, match="not causal") as refused:
        compile_network(net)
    assert refused.value.path[0].startswith("input codes")
    assert refused.value.path[-1].startswith("aten.conv2d")


def time_norm(m: Function, x: Tensor) -> Tensor:
    return m.out(F.group_norm(F.pad(m.token(x).mT, (1, 0))[..., :-1], 2))


def time_pool(m: Function, x: Tensor) -> Tensor:
    h = F.pad(m.token(x).mT, (1, 0))[..., :-1]
    return m.out(h * h.mean(-1, keepdim=True))


@pytest.mark.parametrize("function", [time_norm, time_pool])
def test_a_network_over_time_that_reads_all_of_it_is_refused(function: Way) -> None:
    module = Function(function, token=nn.Embedding(3, 6), out=nn.Conv1d(6, 3, 1))
    with pytest.raises(CausalityError, match="all positions"):
        compile_network(network(module, kind="audio", encoding="int"))


@pytest.mark.parametrize("op", ["batch_norm", "dropout"])
def test_training_form_is_refused_with_the_line(op: str) -> None:
    def forward(m: Function, x: Tensor) -> Tensor:
        return m.b(m.norm(m.drop(m.a(x))))

    net = network(
        Function(forward, **layers(norm=nn.BatchNorm2d(6), drop=nn.Dropout(0.2))), (1, H, W)
    )
    example = (torch.zeros(5, 1, H, W, dtype=torch.int64),)
    graph = capture(net, example, [{0: "batch"}])
    assert compile_graph(graph, example, Codes.of(net.data, False)) is not None
    (norm,) = (n for n in graph.nodes if "batch_norm" in n.op)
    (x, *weights), eps = norm.args[:5], norm.args[-1]
    args = (x, *weights, True, 0.1, eps, False) if op == "batch_norm" else (x, 0.2, True)
    train = replace(norm, op=f"aten.{op}.default", args=args)
    nodes = []
    for node in graph.nodes:
        if node.name == norm.name:
            nodes.append(train)
        elif node.packet == "operator.getitem":
            nodes.append(replace(node, op="aten.alias.default", args=(Ref(norm.name),)))
        else:
            nodes.append(node)
    with pytest.raises(CompileError, match=r"in training form .*eval mode"):
        compile_graph(replace(graph, nodes=tuple(nodes)), example, Codes.of(net.data, False))


def test_an_operator_without_a_rule_is_named_with_its_line() -> None:
    def forward(m: Function, x: Tensor) -> Tensor:
        return m.out(F.pad(m.token(x).mT, (1, 0))[..., :-1].sort(1).values)

    module = Function(forward, token=nn.Embedding(3, 6), out=nn.Conv1d(6, 3, 1))
    with pytest.raises(UnsupportedOperator, match=r"aten\.sort.*test_ways_refused\.py:\d+: return"):
        compile_network(network(module, kind="audio", encoding="int"))
