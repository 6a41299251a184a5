"""Writes in place become operators that return: the values are those of running the writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.export import export, save

from ancestral.compile import CompileError, Graph, Node, Ref
from ancestral.compile.functional import functionalised
from ancestral.store.pt2 import read_pt2


class Forward(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.register_buffer("table", torch.arange(12.0).reshape(3, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x + self.get_buffer("table"))


def written(function: Callable[[Tensor], Tensor], file: Path) -> tuple[Graph, Tensor, Tensor]:
    """The graph as exported, writes and all, an input, and what the module makes of it."""
    module = Forward(function).eval()
    x = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    save(export(module, (x,)), file)
    return read_pt2(file).graph, x, module(x)


def slices(x: Tensor) -> Tensor:
    x[:, 1] += x[:, 0]
    x[..., 1:3] *= 2
    return x


def aliases(x: Tensor) -> Tensor:
    rows, columns = x.transpose(1, 2), x.view(2, 12)
    rows[:, 0].add_(5)  # seen by every other view
    columns[:, -3:].mul_(rows.sum())
    x.relu_()
    return columns + rows.reshape(2, 12)


def parts(x: Tensor) -> Tensor:
    a, b = x.split(2, dim=2)
    a.copy_(b.exp())
    first, *_ = x.unbind(1)
    first.zero_()
    return torch.cat([a, b], 1)


def reshaped(x: Tensor) -> Tensor:
    flat = x.permute(0, 2, 1).unsqueeze(1).squeeze(1)
    flat[:, 2] = torch.tensor(7.0)
    out = torch.empty_like(x)
    out[:] = x
    out.masked_fill_(out > 6, -1.0)
    return out


@pytest.mark.parametrize("function", [slices, aliases, parts, reshaped])
def test_writes_through_views(function: Callable[[Tensor], Tensor], tmp_path: Path) -> None:
    graph, x, wanted = written(function, tmp_path / "model.pt2")
    assert any(node.op.split(".")[1].endswith("_") for node in graph.nodes)
    found = functionalised(graph, [x])
    assert not any(node.op.split(".")[1].endswith("_") for node in found.nodes)
    torch.testing.assert_close(found.run([x])[found.output], wanted, rtol=0, atol=0)


def test_dropout_that_does_nothing_and_slices_of_everything_go() -> None:
    nodes = (
        Node("a", "aten.dropout.default", (Ref("x"), 0.5, False)),
        Node("b", "aten.slice.Tensor", (Ref("a"), 0, 0, 9223372036854775807)),
        Node("c", "aten.neg.default", (Ref("b"),)),
        Node("idle", "aten.exp.default", (Ref("c"),)),
    )
    graph = functionalised(Graph(("x",), {}, nodes, "c"), [torch.zeros(2)])
    assert [(node.op, node.args) for node in graph.nodes] == [("aten.neg.default", (Ref("x"),))]


@pytest.mark.parametrize(
    ("op", "args", "message"),
    [
        ("aten.from_file.default", ("/etc/passwd",), "not among the operators"),
        ("aten.rand.default", ([2],), "draws random numbers"),
        ("aten.set_.source_Tensor", (Ref("x"), Ref("x")), "not among the operators"),
        ("aten.full.default", ([1 << 20, 1 << 20], 0.0), "too large"),
        ("aten.dropout.default", (Ref("x"), 0.5, True), r"call \.eval\(\)"),
        ("aten.scaled_dot_product_attention.default", (Ref("x"),) * 3 + (None, 0.1), "dropout in"),
        ("os.system", ("true",), "not among the operators"),
    ],
)
def test_what_a_model_may_not_be_made_of(op: str, args: tuple[object, ...], message: str) -> None:
    nodes = (Node("a", op, args, {}, "model.py:3: code"),)
    with pytest.raises(CompileError, match=message) as refused:
        functionalised(Graph(("x",), {}, nodes, "a"), [torch.zeros(2)])
    assert "model.py:3" in str(refused.value)
