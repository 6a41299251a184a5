"""Capturing a forward pass: both tracers, any batch and length, nothing but data in the graph."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F
from tests.causal import Function, network
from torch import Tensor, nn

from ancestral.compile import Graph, Node, Ref, UnsupportedOperator
from ancestral.compile import capture as capture_module
from ancestral.compile.capture import capture
from ancestral.compile.errors import CompileError
from ancestral.runtimes.derive import derive


class InPlaceMask(nn.Conv2d):
    """The masked convolution of many published PixelCNNs: it writes its weights in forward."""

    mask: Tensor

    def __init__(self, inputs: int, outputs: int, size: int, own: bool) -> None:
        super().__init__(inputs, outputs, size, padding=size // 2)
        mask = torch.ones_like(self.weight)
        mask[:, :, size // 2, size // 2 + own :] = 0
        mask[:, :, size // 2 + 1 :] = 0
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor) -> Tensor:
        self.weight.data *= self.mask
        return super().forward(x)


class Published(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = InPlaceMask(1, 6, 5, False), InPlaceMask(6, 3, 3, True)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.first(x))
        h += 0.5  # in place
        return self.second(h)


def test_a_module_that_writes_its_weights_is_captured_functionally_and_derived() -> None:
    net = network(Published(), (1, 5, 6))
    x = torch.randint(0, 3, (7, 1, 5, 6))
    graph = capture(net, (x,), [{0: "batch"}])
    assert not [n.op for n in graph.nodes if n.op.split(".")[1].endswith("_")], (
        "no in-place operator"
    )
    five = torch.randint(0, 3, (5, 1, 5, 6))
    torch.testing.assert_close(graph.run([five])[graph.output], net(five))
    derive(net)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.token, self.qkv = nn.Embedding(3, 8), nn.Linear(8, 24)
        self.norm, self.out = nn.LayerNorm(8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = F.pad(self.token(x), (0, 0, 1, 0))[:, :-1]
        q, k, v = self.qkv(self.norm(h)).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4).unbind(0)
        future = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
        scores = (q @ k.mT / 2).masked_fill(future, -math.inf).softmax(-1)
        return self.out(h + (scores @ v).transpose(1, 2).flatten(2))


def test_what_make_fx_decomposes_derives_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products of merged heads, native layer norm and addmm instead of the composite operators."""

    def refuse(*_: object) -> Graph:
        raise RuntimeError("not today")

    monkeypatch.setattr(capture_module, "_by_export", refuse)
    net = network(Attention(), (9,), kind="vector", encoding="int", layout="channels-last")
    program = derive(net)
    ops = {node.packet for node in program.graph.nodes}
    assert {"aten.bmm", "aten.native_layer_norm"} <= ops


def test_a_length_left_open_may_be_any() -> None:
    class Shift(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token, self.out = nn.Embedding(3, 4), nn.Conv1d(4, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(F.pad(self.token(x).mT, (1, 0))[..., :-1])

    net = network(Shift(), kind="audio", encoding="int")
    graph = capture(net, (torch.zeros(2, 30, dtype=torch.int64),), [{0: "batch", 1: "time"}])
    for batch, time in ((1, 7), (3, 200)):
        x = torch.randint(0, 3, (batch, time))
        torch.testing.assert_close(graph.run([x])[graph.output], net(x))


def test_what_follows_from_the_weights_is_computed_once() -> None:
    net = network(Published(), (1, 5, 6))
    x = torch.randint(0, 3, (7, 1, 5, 6))
    graph = capture(net, (x,), [{0: "batch"}]).to(torch.float64)
    folded = graph.folded()
    assert len(folded.nodes) < len(graph.nodes)
    torch.testing.assert_close(folded.run([x])[folded.output], graph.run([x])[graph.output])


def test_only_tensor_operators_and_integer_arithmetic_run() -> None:
    for op in ("os.system", "operator.methodcaller", "aten.no_such_operator", "builtins.eval"):
        graph = Graph(("x",), {}, (Node("y", op, (Ref("x"),)),), "y")
        with pytest.raises(UnsupportedOperator, match=op):
            graph.run([torch.zeros(1)])


class Long(nn.Module):
    """A loop of many steps, in place."""

    def forward(self, x: Tensor) -> Tensor:
        h = x.float()
        for step in range(9):
            h[:, step % 4] += 0.01 * h[:, (step + 1) % 4]
        return h


def test_a_long_loop_is_captured_at_batch_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture_module, "_LONG", 20)
    x = torch.arange(12).reshape(3, 4)
    graph = capture(Long(), (x,), [{0: "batch"}])
    assert not graph.batched
    assert not [n.op for n in graph.nodes if n.op.split(".")[1].endswith("_")]
    torch.testing.assert_close(graph.run([x[1:2]])[graph.output], Long()(x[1:2]))


def test_a_long_loop_over_the_batch_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture_module, "_LONG", 20)

    class Together(Long):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + x.float().mean(0)

    with pytest.raises(CompileError, match="other items of its batch"):
        capture(Together(), (torch.arange(12).reshape(3, 4),), [{0: "batch"}])


def test_a_module_that_cannot_be_traced_says_why() -> None:
    class Branching(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if float(x.sum()) > 0 else -x

    with pytest.raises(CompileError, match=r"(?s)torch\.export says .*make_fx says"):
        capture(Branching(), (torch.zeros(2, 3),), [{0: "batch"}])


def test_threads_take_turns_at_tracing() -> None:
    """Packages are loaded side by side, recurrent ones among them."""
    layers = {"token": nn.Embedding(3, 4), "lstm": nn.LSTM(4, 4, batch_first=True)}

    def forward(m: Function, x: Tensor) -> Tensor:
        return m.lstm(F.pad(m.token(x), (0, 0, 1, 0))[:, :-1])[0]  # type: ignore[no-any-return]

    module = Function(forward, **layers).eval()
    codes = torch.zeros(5, 20, dtype=torch.int64)
    with ThreadPoolExecutor(4) as pool:
        graphs = list(pool.map(lambda _: capture(module, (codes,)), range(8)))
    assert {node.op for graph in graphs for node in graph.nodes} >= {"aten.lstm.input"}
    torch.testing.assert_close(graphs[-1].run([codes])[graphs[-1].output], module(codes))
