"""Recurrent layers whose operands do not fit are refused before a kernel reads past them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ancestral.compile import Graph, Node, Ref
from ancestral.compile.graph import operator_of


@pytest.mark.parametrize(("kind", "layers"), [("lstm", 2), ("gru", 1), ("rnn_tanh", 2)])
def test_recurrent_layers(kind: str, layers: int) -> None:
    module = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn_tanh": nn.RNN}[kind](3, 4, layers)
    weights = [weight.detach() for weight in module.parameters()]
    run = operator_of(f"aten.{kind}.input")
    x, state = torch.randn(5, 2, 3), torch.zeros(layers, 2, 4)

    def call(x: torch.Tensor, state: torch.Tensor, weights: list[torch.Tensor]) -> torch.Tensor:
        hx = [state, state] if kind == "lstm" else state
        return run(x, hx, weights, True, layers, 0.0, False, False, False)[0]

    torch.testing.assert_close(call(x, state, weights), module(x)[0])
    with pytest.raises(ValueError, match="for a batch of 2"):
        call(x, state[:, :1], weights)
    with pytest.raises(ValueError, match="weights of shapes"):
        call(x, state, [weights[0][:1], *weights[1:]])
    with pytest.raises(ValueError, match="weights"):
        call(x, state, weights[:-1])


def test_real_numbers_of_no_stated_type_follow_the_precision() -> None:
    nodes = (
        Node("mask", "aten.full.default", ([2, 2], float("-inf"))),
        Node("count", "aten.arange.default", (2,)),
        Node("out", "aten.add.Tensor", (Ref("mask"), Ref("count"))),
    )
    graph = Graph(("x",), {}, nodes, "out").to(torch.float64)
    found = graph.run([torch.zeros(1)], ["mask", "count"])
    assert found["mask"].dtype == torch.float64
    assert found["count"].dtype == torch.int64
