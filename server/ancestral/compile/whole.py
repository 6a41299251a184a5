"""Recurrent layers kept whole in a captured graph, as `aten.lstm.input` and its kin.

Traced, a recurrent layer comes apart into one group of operators per step, its length fixed.
While a module is captured, `nn.LSTM`, `nn.GRU` and `nn.RNN` call operators of our own instead,
which are opaque to tracing; in the graph they bear their ATen names again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ancestral.compile.graph import Node

_LIBRARY: Any = torch.library.Library("ancestral", "DEF")  # type: ignore[no-untyped-call]
_ARGUMENTS = (
    "Tensor[] params, bool has_biases, int num_layers, float dropout, bool train, "
    "bool bidirectional, bool batch_first"
)
NAMES = ("lstm", "gru", "rnn_tanh", "rnn_relu")
ATEN = {f"ancestral.{name}.default": f"aten.{name}.input" for name in NAMES}


def _define(name: str) -> None:
    lstm = name == "lstm"
    states, results = ("Tensor[] hx", 3) if lstm else ("Tensor hx", 2)
    returns = ", ".join(["Tensor"] * results)
    _LIBRARY.define(f"{name}(Tensor input, {states}, {_ARGUMENTS}) -> ({returns})")
    original: Callable[..., Any] = getattr(torch, name)

    def run(*args: Any) -> Any:
        return original(*args)

    def shapes(x: Tensor, hx: Any, *how: Any) -> tuple[Tensor, ...]:
        carried = list(hx) if lstm else [hx]
        bidirectional = how[5]
        width = carried[0].shape[-1] * (2 if bidirectional else 1)
        return (x.new_empty((*x.shape[:2], width)), *(torch.empty_like(c) for c in carried))

    _LIBRARY.impl(name, run, "CompositeExplicitAutograd")
    torch.library.register_fake(f"ancestral::{name}", shapes, lib=_LIBRARY)


for _name in NAMES:
    _define(_name)


@contextmanager
def recurrences_whole() -> Iterator[None]:
    """Within, recurrent modules trace as one operator each (packed sequences excepted)."""

    def whole(name: str) -> Callable[..., Any]:
        original, own = getattr(torch, name), getattr(torch.ops.ancestral, name)

        def call(*args: Any) -> Any:
            packed = isinstance(args[3], (list, tuple))  # data, batch_sizes, hx, params, …
            return original(*args) if packed else own(*args)

        return call

    face: Any = torch._VF
    for name in NAMES:
        setattr(face, name, whole(name))
    try:
        yield
    finally:
        for name in NAMES:
            delattr(face, name)


def canonical(node: Node) -> Node:
    """A layer of an LSTM as exported for a CPU, under the name of the operator it stands for.

    `aten.mkldnn_rnn_layer` runs in float32 only. One that runs backwards stays as it is.
    """
    if node.packet != "aten.mkldnn_rnn_layer" or len(node.args) < 16:
        return node
    x, *weights, hx, cx, reverse, _sizes, mode, _hidden, layers, biases, both, first, train = (
        node.args
    )
    if reverse or mode != 2 or layers != 1:
        return node
    params = weights if biases else weights[:2]
    args = (x, [hx, cx], params, biases, 1, 0.0, train, both, first)
    return replace(node, op="aten.lstm.input", args=args)
