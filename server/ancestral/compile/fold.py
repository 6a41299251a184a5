"""What follows from the weights alone, computed once: weight norm, masks multiplied in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ancestral.compile.functional import pruned, renamed
from ancestral.compile.graph import Graph, Node, Ref, map_refs, operator_of, refs

_LARGER = 4  # times the elements it follows from: what grows by more stays an operator


def folded_weights(graph: Graph) -> Graph:
    """The same function with its constants named p_…, b_…, c_… as given and f_… where computed.

    What no weight enters (a mask made of `ones`) stays an operator: it is cheaper made than stored.
    All floating-point constants become float32.
    """
    constants: dict[str, Tensor] = {
        name: t.float() if t.is_floating_point() else t for name, t in graph.constants.items()
    }
    made: dict[str, Any] = {}  # from no weight and no input
    weights = dict(constants)
    kept: list[Node] = []
    with torch.no_grad():
        for node in graph.nodes:
            names = refs(node.args, tuple(node.kwargs.values()))
            if any(name not in weights and name not in made for name in names):
                kept.append(node)
                continue

            def value(ref: Ref) -> Any:
                return weights[ref.name] if ref.name in weights else made[ref.name]

            kwargs = {k: map_refs(v, value) for k, v in node.kwargs.items()}
            found = operator_of(node.op)(*map_refs(node.args, value), **kwargs)
            before = sum(t.numel() for n in names if isinstance(t := value(Ref(n)), Tensor))
            if not any(name in weights for name in names):
                made[node.name] = found
                kept.append(node)
            elif not isinstance(found, Tensor):  # sizes, parts of a split
                weights[node.name] = found
                kept.append(node)
            elif found.numel() > max(1 << 16, _LARGER * before):
                kept.append(node)
            else:
                weights[node.name] = found
    constants |= {name: t for name, t in weights.items() if isinstance(t, Tensor)}
    return _named(pruned(replace(graph, constants=constants, nodes=tuple(kept))))


def _named(graph: Graph) -> Graph:
    """Constants of computed values get names of their own kind, apart from all others."""
    taken = {*graph.inputs, *graph.constants, *(node.name for node in graph.nodes)}
    names: dict[str, str] = {}
    for name in graph.constants:
        if not name.startswith(("p_", "b_", "c_")):
            new = f"f_{name}"
            while new in taken:
                new += "_"
            names[name] = new
            taken.add(new)
    return renamed(graph, names)
