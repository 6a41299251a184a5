"""A function of tensors as a list of ATen operators that holds for any number of slots.

It is traced twice, for two and for three slots. The sizes in which the traces differ are the slots,
or so many for each; everything else in them is equal, or the function is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx

from ancestral.compile.capture import TRACING
from ancestral.compile.graph import Node, Ref

SLOTS = (2, 3)
Line = Callable[[dict[str, Tensor]], dict[str, Tensor]]


class NotStraight(Exception):
    """The function is not the same operators at every number of slots."""


@dataclass(frozen=True)
class Trace:
    """Operators in order. `outputs` are the function's results by name, and what computes each.

    `examples` are tensors like the value of every node, input and constant, whose shapes are those
    for two slots. A size that grows with the slots is a Ref to `slots` or to a product with it.
    """

    inputs: tuple[str, ...]
    outputs: Mapping[str, str]
    constants: Mapping[str, Tensor]
    nodes: tuple[Node, ...]
    examples: Mapping[str, Any]


def traced(line: Line, examples: Sequence[dict[str, Tensor]], slot: str) -> Trace:
    """Trace `line` on examples of two and of three slots; the input `slot` [n] counts them."""
    few, more = (_graph(line, example) for example in examples)
    first, second = list(few.graph.nodes), list(more.graph.nodes)
    names = list(examples[0])
    if [n.target for n in first if n.op == "call_function"] != [
        n.target for n in second if n.op == "call_function"
    ]:
        raise NotStraight("its operators differ with the number of slots")
    sizes = _Sizes(f"in_{names.index(slot)}")
    constants: dict[str, Tensor] = {}
    values: dict[str, Any] = {}
    inputs: list[str] = []
    renamed: dict[fx.Node, str] = {}
    for node, other in zip(first, second, strict=True):
        if node.op == "placeholder":
            renamed[node] = f"in_{len(inputs)}"
            inputs.append(renamed[node])
            values[renamed[node]] = node.meta["val"]
        elif node.op == "get_attr":
            renamed[node] = node.name
            constants[node.name] = values[node.name] = getattr(few, str(node.target)).detach()
        elif node.op == "call_function":
            renamed[node] = node.name
            args = sizes.unified(node.args, other.args, renamed)
            kwargs = sizes.unified(dict(node.kwargs), dict(other.kwargs), renamed)
            op = str(node.target)
            op = op if op.startswith("aten.") else f"operator.{node.target.__name__}"
            sizes.nodes.append(Node(node.name, op, args, kwargs))
            values[node.name] = node.meta.get("val")
    results = first[-1].args[0]
    assert isinstance(results, (list, tuple))
    wanted = line_names(line, examples[0])
    outputs = {k: renamed[v] for k, v in zip(wanted, results, strict=True)}
    values |= sizes.values
    return Trace(tuple(inputs), outputs, constants, tuple(sizes.nodes), values)


def line_names(line: Line, example: dict[str, Tensor]) -> list[str]:
    """The names of what a line returns."""
    with torch.no_grad():
        return list(line(dict(example)))


def _graph(line: Line, example: dict[str, Tensor]) -> fx.GraphModule:
    names = list(example)

    def positional(*tensors: Tensor) -> list[Tensor]:
        return list(line(dict(zip(names, tensors, strict=True))).values())

    with TRACING, torch.no_grad():
        traced = make_fx(positional, pre_dispatch=True)(*example.values())
    traced.graph.eliminate_dead_code()
    return traced


class _Sizes:
    """What two traces have in common, and operators that compute the sizes in which they differ."""

    def __init__(self, slot: str) -> None:
        self.nodes: list[Node] = [Node("slots", "aten.sym_size.int", (Ref(slot), 0))]
        self.values: dict[str, Any] = {"slots": SLOTS[0]}

    def unified(self, one: Any, other: Any, names: Mapping[fx.Node, str]) -> Any:
        if isinstance(one, fx.Node):
            return Ref(names[one])
        if isinstance(one, (list, tuple)):
            kind = tuple if isinstance(one, tuple) else list
            return kind(self.unified(a, b, names) for a, b in zip(one, other, strict=True))
        if isinstance(one, dict):
            return {k: self.unified(v, other[k], names) for k, v in one.items()}
        if isinstance(one, int) and not isinstance(one, bool) and one != other:
            return self._multiple(one, other)
        if one != other and not (one is None and other is None):
            raise NotStraight(f"{one!r} becomes {other!r} with another slot")
        return one

    def _multiple(self, one: int, other: int) -> Ref:
        each, left = divmod(one, SLOTS[0])
        if left or each * SLOTS[1] != other:
            raise NotStraight(f"a size of {one} becomes {other} with another slot")
        if each == 1:
            return Ref("slots")
        name = f"slots_{each}"
        if name not in self.values:
            self.values[name] = one
            self.nodes.insert(1, Node(name, "operator.mul", (Ref("slots"), each)))
        return Ref(name)
