"""A graph as `torch.export` saves it, made functional: no writes, nothing that does nothing.

Operators that write in place become operators that return (`compile.writes`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ancestral.compile.errors import CompileError
from ancestral.compile.graph import Graph, Node, Ref, map_refs, operator_of, refs
from ancestral.compile.operators import check_operators
from ancestral.compile.writes import without_writes, writes

_END = 1 << 62  # slices without an end are written with a larger one


def functionalised(graph: Graph, example: Sequence[Tensor]) -> Graph:
    """The same function without writes, without what does nothing and what nothing reads.

    Raises CompileError, naming the operator and its line, for a write that cannot be expressed and
    for an operator that a model may not be made of.
    """
    check_operators(graph, in_place=True)
    graph = _without_idle(graph)
    if any(writes(node) for node in graph.nodes):
        graph = without_writes(graph, run_in_order(graph, example))
    graph = pruned(graph)
    check_operators(graph)
    return graph


def pruned(graph: Graph) -> Graph:
    """Only what the output follows from, constants included."""
    wanted, kept = {graph.output}, []
    for node in reversed(graph.nodes):
        if node.name in wanted:
            kept.append(node)
            wanted.update(refs(node.args, tuple(node.kwargs.values())))
    constants = {name: tensor for name, tensor in graph.constants.items() if name in wanted}
    return replace(graph, nodes=tuple(reversed(kept)), constants=constants)


def renamed(graph: Graph, names: Mapping[str, str]) -> Graph:
    """The same graph with other names of its values."""

    def ref(old: Ref) -> Ref:
        return Ref(names.get(old.name, old.name))

    return replace(
        graph,
        inputs=tuple(names.get(name, name) for name in graph.inputs),
        constants={names.get(name, name): tensor for name, tensor in graph.constants.items()},
        nodes=tuple(
            replace(
                node,
                name=names.get(node.name, node.name),
                args=map_refs(node.args, ref),
                kwargs={key: map_refs(value, ref) for key, value in node.kwargs.items()},
            )
            for node in graph.nodes
        ),
        output=names.get(graph.output, graph.output),
    )


def _without_idle(graph: Graph) -> Graph:
    """Dropout in eval form and slices of everything give way to what they show."""
    names: dict[str, str] = {}
    kept: list[Node] = []
    for node in graph.nodes:
        node = _made_of_zeros(node)
        node = replace(
            node,
            args=map_refs(node.args, lambda ref: Ref(names.get(ref.name, ref.name))),
            kwargs={
                key: map_refs(value, lambda ref: Ref(names.get(ref.name, ref.name)))
                for key, value in node.kwargs.items()
            },
        )
        if node.op == "aten.where.Scalar" and isinstance(node.args[1], float):
            # of the default type: the cast follows the graph's precision
            kept.append(replace(node, name=f"{node.name}_chosen"))
            cast = (Ref(f"{node.name}_chosen"), torch.float32)
            node = replace(node, op="aten.to.dtype", args=cast)
        if _idle(node):
            names[node.name] = node.args[0].name
        else:
            kept.append(node)
    output = names.get(graph.output, graph.output)
    return replace(graph, nodes=tuple(kept), output=output)


def _idle(node: Node) -> bool:
    if node.packet in ("aten.dropout", "aten.feature_dropout", "aten.alpha_dropout",
                       "aten.dropout_", "aten.alias", "aten.detach", "aten.detach_"):  # fmt: skip
        return len(node.args) < 3 or node.args[2] is False or node.args[1] == 0
    if node.op == "aten.slice.Tensor":
        start, end, step = _slice(*node.args[1:])
        return start in (0, None) and (end is None or _is_end(end)) and step == 1
    return False


def _slice(dim: int = 0, start: Any = None, end: Any = None, step: Any = 1) -> tuple[Any, ...]:
    return start, end, step


def _is_end(end: Any) -> bool:
    return isinstance(end, int) and end >= _END


def _made_of_zeros(node: Node) -> Node:
    """Memory as it happens to be is no data: it starts as zeros."""
    others = {
        "aten.empty": "aten.zeros.default",
        "aten.empty_like": "aten.zeros_like.default",
        "aten.new_empty": "aten.new_zeros.default",
    }
    return replace(node, op=others[node.packet]) if node.packet in others else node


def run_in_order(graph: Graph, example: Sequence[Tensor]) -> dict[str, Any]:
    """Every value of a graph that may write, all of it run as it stands; operands are copied."""
    env: dict[str, Any] = dict(zip(graph.inputs, (x.clone() for x in example), strict=True))
    env.update({name: tensor.clone() for name, tensor in graph.constants.items()})
    with torch.no_grad():
        for node in graph.nodes:

            def value(ref: Ref) -> Any:
                return env[ref.name]

            kwargs = {key: map_refs(item, value) for key, item in node.kwargs.items()}
            try:
                env[node.name] = operator_of(node.op)(*map_refs(node.args, value), **kwargs)
            except (RuntimeError, TypeError, IndexError, ValueError) as error:
                reason = str(error).splitlines()[0]
                raise CompileError(f"operator {node.op} {node.name} fails: {reason}") from error
    return env
