"""A walk over a graph, operator by operator: what both derivations of a sampler have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

import torch

from ancestral.compile.errors import CausalityError, UnsupportedOperator
from ancestral.compile.graph import Graph, Node, Ref, map_refs, refs
from ancestral.compile.place import Fixed
from ancestral.stages import each

Located = TypeVar("Located")
Rule = Callable[..., Any]

# Operators that look at their operand's shape only.
SHAPE_ONLY = {
    f"aten.{name}"
    for name in (
        "sym_size",
        "size",
        "sym_numel",
        "zeros_like",
        "ones_like",
        "full_like",
        "empty_like",
        "rand_like",
        "new_zeros",
        "new_ones",
        "new_full",
        "new_empty",
    )
}


def registrar(rules: dict[str, Rule]) -> Callable[..., Callable[[Rule], Rule]]:
    """The decorator that enters a function into `rules` under the operators it names."""

    def rule(*packets: str) -> Callable[[Rule], Rule]:
        def register(function: Rule) -> Rule:
            rules.update(dict.fromkeys(packets, function))
            return function

        return register

    return rule


class Walk(Generic[Located]):
    """Hands each node that depends on the codes to its rule, with what its arguments became.

    A value that depends on the codes is what its rule made of it (`Located`); any other is
    `Fixed`, with its tensor in the example. `example` holds the graph's inputs, the codes first.
    """

    rules: ClassVar[Mapping[str, Rule]]

    def __init__(self, graph: Graph, example: Sequence[torch.Tensor]) -> None:
        self.graph = graph
        self.node: Node
        self.example = graph.run(list(example), [n.name for n in graph.nodes])
        self.example.update(graph.constants)
        self.example.update(zip(graph.inputs, example, strict=True))
        # The values that do not depend on the codes: whether they depend on the condition.
        self._fixed: dict[str, bool] = dict.fromkeys(graph.constants, False)
        self._fixed.update(dict.fromkeys(graph.inputs[1:], True))
        self._located: dict[str, Any] = {}

    def run(self, codes: Located) -> Located:
        """Apply the rules and return the params.

        Raises UnsupportedOperator where there is no rule or it does not cover a use, and
        CausalityError where the params do not depend on the codes.
        """
        self._located[self.graph.inputs[0]] = codes
        last_use = _last_uses(self.graph)
        for node in each("deriving", "operators", self.graph.nodes):
            sources = refs(node.args, tuple(node.kwargs.values()))
            if node.packet in SHAPE_ONLY or not any(name in self._located for name in sources):
                item = any(self._fixed.get(name, False) for name in sources)
                self._fixed[node.name] = item and node.packet not in SHAPE_ONLY
                continue
            self.node = node
            if node.packet not in self.rules:
                raise UnsupportedOperator(node.op, node.source)
            args = map_refs(node.args, self._resolve)
            kwargs = {k: map_refs(v, self._resolve) for k, v in node.kwargs.items()}
            try:
                self._located[node.name] = self.rules[node.packet](self, *args, **kwargs)
            except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
                reason = f"its rule does not cover this use of it ({error})"
                raise UnsupportedOperator(node.op, node.source, reason) from error
            for name in last_use.get(node.name, ()):
                self._located.pop(name, None)
        params: Located | Fixed | None = self._located.get(self.graph.output)
        if params is None or isinstance(params, Fixed):
            raise CausalityError("the params do not depend on the data at all", [])
        return params

    def _resolve(self, ref: Ref) -> Any:
        if ref.name in self._located:
            return self._located[ref.name]
        value = self.example[ref.name]
        if not isinstance(value, torch.Tensor):
            return value
        return Fixed(ref.name, self._fixed[ref.name], value)

    def is_located(self, ref: Ref) -> bool:
        """Whether a value depends on the codes."""
        return ref.name in self._located

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the current node's result in the example."""
        return tuple(self.example[self.node.name].shape)

    def unsupported(self, reason: str) -> UnsupportedOperator:
        return UnsupportedOperator(self.node.op, self.node.source, reason)


def _last_uses(graph: Graph) -> dict[str, list[str]]:
    """For each node, the values that no later node reads, the output aside."""
    last: dict[str, str] = {}
    for node in graph.nodes:
        for name in refs(node.args, tuple(node.kwargs.values())):
            last[name] = node.name
    last.pop(graph.output, None)
    found: dict[str, list[str]] = {}
    for name, node_name in last.items():
        found.setdefault(node_name, []).append(name)
    return found
