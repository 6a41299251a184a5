"""Operators that stand for several others, written out before rules are looked up.

A rewriting replaces one node by several; the last of them takes its name. Sizes that depend on the
batch or the length never appear, so the rewritten graph runs wherever the first one ran.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from ancestral.compile.errors import UnsupportedOperator
from ancestral.compile.graph import Graph, Node, Ref, operator_of, refs
from ancestral.compile.walk import SHAPE_ONLY

Rewriting = Callable[..., Ref | tuple[Ref, ...]]


class Rewriter:
    """Collects the nodes that replace one node; knows the example's shapes."""

    def __init__(
        self, node: Node, example: dict[str, Any], constant: set[str], taken: set[str],
        located: set[str], batch: int,
    ) -> None:  # fmt: skip
        self.nodes: list[Node] = []
        self.node = node
        self.batch = batch  # of the example
        self._located = located
        self._example = example
        self._constant = constant
        self._taken = taken
        self.constants: dict[str, torch.Tensor] = {}

    def example(self, ref: Ref) -> Any:
        """A value in the example."""
        return self._example[ref.name]

    def shape(self, ref: Ref) -> tuple[int, ...]:
        """The shape of a value in the example."""
        return tuple(self._example[ref.name].shape)

    def is_constant(self, ref: Ref) -> bool:
        """Whether a value follows from the weights alone."""
        return ref.name in self._constant

    def is_located(self, ref: Ref) -> bool:
        """Whether a value depends on the codes."""
        return ref.name in self._located

    def number(self, value: Any) -> int:
        """An integer argument, as it is in the example where it is symbolic."""
        return int(self._example[value.name] if isinstance(value, Ref) else value)

    def emit(self, op: str, *args: Any, **kwargs: Any) -> Ref:
        """A new node; constant where all it reads is."""
        name = self._name()
        self.nodes.append(Node(name, op, args, kwargs, self.node.source))
        found = refs(args, tuple(kwargs.values()))
        if all(self.is_constant(Ref(n)) for n in found):
            self._constant.add(name)
        if any(n in self._located for n in found):
            self._located.add(name)

        def value(arg: Any) -> Any:
            if isinstance(arg, Ref):
                return self._example[arg.name]
            return [value(a) for a in arg] if isinstance(arg, list) else arg

        self._example[name] = operator_of(op)(*(value(a) for a in args), **kwargs)
        return Ref(name)

    def constant(self, tensor: torch.Tensor) -> Ref:
        """A tensor as a new constant of the graph."""
        name = self._name()
        self.constants[name] = tensor
        self._constant.add(name)
        self._example[name] = tensor
        return Ref(name)

    def permute(self, x: Ref, order: Sequence[int]) -> Ref:
        """x with its axes in that order; x itself where they are already."""
        if list(order) == list(range(len(order))):
            return x
        return self.emit("aten.permute.default", x, list(order))

    def _name(self) -> str:
        count = 0
        while (name := f"{self.node.name}_{count}") in self._taken:
            count += 1
        self._taken.add(name)
        return name


def rewrite(graph: Graph, example: Sequence[torch.Tensor], table: Mapping[str, Rewriting]) -> Graph:
    """The graph with every operator that `table` (by packet) names written out.

    A rewriting that raises ValueError leaves its node as it was, for the rules to refuse.
    """
    if not any(node.packet in table for node in graph.nodes):
        return graph
    names = [n.name for n in graph.nodes]
    values = {
        **graph.constants, **dict(zip(graph.inputs, example, strict=True)),
        **graph.run(list(example), names),
    }  # fmt: skip
    constant, taken, located = set(graph.constants), set(values), {graph.inputs[0]}
    parts: dict[str, tuple[Ref, ...]] = {}  # of nodes that were tuples, as far as they are known
    kept: list[Node] = []
    added: dict[str, torch.Tensor] = {}
    for node in graph.nodes:
        found = refs(node.args, tuple(node.kwargs.values()))
        if all(name in constant for name in found):
            constant.add(node.name)
        if any(name in located for name in found) and node.packet not in SHAPE_ONLY:
            located.add(node.name)
        if node.packet == "operator.getitem" and node.args[0].name in parts:
            known = parts[node.args[0].name]
            if node.args[1] >= len(known):
                raise UnsupportedOperator(node.op, node.source, "only its first result is known")
            part = known[node.args[1]]
            kept.append(replace(node, op="aten.alias.default", args=(part,)))
            continue
        if node.packet not in table or node.name in constant:
            kept.append(node)
            continue
        rewriter = Rewriter(node, values, constant, taken, located, example[0].shape[0])
        try:
            result = table[node.packet](rewriter, *node.args, **node.kwargs)
        except ValueError:
            kept.append(node)
            continue
        added.update(rewriter.constants)
        kept.extend(rewriter.nodes)
        if isinstance(values[node.name], (list, tuple)):
            parts[node.name] = result if isinstance(result, tuple) else (result,)
        elif isinstance(result, tuple):
            raise AssertionError(f"{node.op} has one result")
        elif rewriter.nodes and rewriter.nodes[-1].name == result.name:
            kept[-1] = replace(kept[-1], name=node.name)
        else:
            kept.append(Node(node.name, "aten.alias.default", (result,), {}, node.source))
    return replace(graph, constants={**graph.constants, **added}, nodes=tuple(kept))
