"""A graph exported for one size of batch, at any: `view(3, 8, -1)` becomes `view(batch, 8, -1)`.

Where forward reads `x.shape[0]`, an export without dynamic sizes writes down the example's. Which
literals are meant is a guess, so every guess is checked by running it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ancestral.compile.errors import CompileError
from ancestral.compile.graph import Graph, Node, Ref, refs

_RESHAPES = ("aten.view", "aten.reshape", "aten._unsafe_view", "aten.expand", "aten.broadcast_to",
             "aten.unflatten")  # fmt: skip
_MAKERS = ("aten.full", "aten.zeros", "aten.ones", "aten.new_full", "aten.new_zeros",
           "aten.new_ones", "aten.repeat", "aten.tile")  # fmt: skip
_BATCH = "batch_size"


def at_any_batch(graph: Graph, example: Sequence[Tensor]) -> Graph:
    """The graph as it is if it runs at any batch, or with its literals of the batch replaced.

    A graph exported at batch one for which neither holds comes back as not `batched`. Raises
    CompileError where it was exported at a larger one.
    """
    size = example[0].shape[0]
    wanted = graph.run(list(example))[graph.output]
    reads = _from_inputs(graph)

    def computed(node: Node) -> bool:
        return node.name in reads and node.packet in _RESHAPES

    def any_(node: Node) -> bool:
        return node.packet in (*_RESHAPES, *_MAKERS)

    for chosen in (None, computed, any_):
        candidate = graph if chosen is None else _replaced(graph, size, chosen)
        if _holds(candidate, example, wanted):
            return candidate
    if size == 1:
        return replace(graph, batched=False)
    raise CompileError(
        f"the module was exported at a batch of {size} and its graph holds at no other: export it "
        "at batch one, or with dynamic_shapes that name the batch: "
        '({0: torch.export.Dim("batch")},)'
    )


def _from_inputs(graph: Graph) -> set[str]:
    found = set(graph.inputs)
    for node in graph.nodes:
        if found.intersection(refs(node.args, tuple(node.kwargs.values()))):
            found.add(node.name)
    return found


def _replaced(graph: Graph, size: int, chosen: Callable[[Node], bool]) -> Graph:
    nodes = [Node(_BATCH, "aten.sym_size.int", (Ref(graph.inputs[0]), 0))]
    for node in graph.nodes:
        if chosen(node):
            node = replace(node, args=tuple(_sizes(arg, size, nodes) for arg in node.args))
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes))


def _sizes(arg: Any, size: int, nodes: list[Node]) -> Any:
    """A list of sizes that begins with the batch, or, above one, with a multiple of it."""
    if not isinstance(arg, list) or not arg or not isinstance(arg[0], int):
        return arg
    first = arg[0]
    if first == size:
        return [Ref(_BATCH), *arg[1:]]
    if size > 1 and first > 0 and first % size == 0:
        name = f"{_BATCH}_{len(nodes)}"
        nodes.append(Node(name, "operator.mul", (Ref(_BATCH), first // size)))
        return [Ref(name), *arg[1:]]
    return arg


def _holds(graph: Graph, example: Sequence[Tensor], wanted: Tensor) -> bool:
    """Whether the graph gives the same rows at batch one and at one more than the example's."""
    size = example[0].shape[0]
    more = [torch.cat([value, value[:1]]) for value in example]
    try:
        one = graph.run([value[:1] for value in example])[graph.output]
        many = graph.run(more)[graph.output]
    except (RuntimeError, IndexError, TypeError, ValueError):
        return False
    if one.shape != wanted[:1].shape or many.shape != (size + 1, *wanted.shape[1:]):
        return False
    least = 1e-5 * max(1.0, float(wanted.abs().max()))
    pairs = ((one, wanted[:1]), (many, torch.cat([wanted, wanted[:1]])))
    return all(torch.allclose(a, b, rtol=1e-3, atol=least, equal_nan=True) for a, b in pairs)
