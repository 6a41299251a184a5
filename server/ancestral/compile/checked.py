"""Recurrent layers with their operands' shapes checked: the CPU's own kernel trusts its caller."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

_GATES = {"aten.lstm.input": 4, "aten.gru.input": 3, "aten.rnn_tanh.input": 1,
          "aten.rnn_relu.input": 1}  # fmt: skip


def checked(op: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`; that of a recurrent layer raises ValueError for shapes that do not fit."""
    gates = _GATES.get(op)
    if gates is None:
        return function

    def call(x: Tensor, hx: Any, params: Any, biases: bool, layers: int, *rest: Any) -> Any:
        both, batch_first = rest[2], rest[3]
        _check(x, list(hx) if isinstance(hx, (list, tuple)) else [hx], list(params), gates,
               biases, layers * (2 if both else 1), 2 if both else 1, batch_first)  # fmt: skip
        return function(x, hx, params, biases, layers, *rest)

    return call


def _check(
    x: Tensor, states: list[Tensor], params: list[Tensor], gates: int, biases: bool, count: int,
    directions: int, batch_first: bool,
) -> None:  # fmt: skip
    each = 4 if biases else 2
    if x.dim() != 3 or len(params) != each * count or not states:
        raise ValueError(f"a recurrent layer of {count} parts has {len(params)} weights")
    batch, hidden, width = x.shape[0 if batch_first else 1], states[0].shape[-1], x.shape[2]
    if any(tuple(state.shape) != (count, batch, hidden) for state in states):
        raise ValueError(f"states of shape {list(states[0].shape)} for a batch of {batch}")
    rows = gates * hidden
    for part in range(count):
        inner = width if part < directions else hidden * directions
        wanted = [(rows, inner), (rows, hidden), (rows,), (rows,)][:each]
        found = [tuple(weight.shape) for weight in params[each * part : each * (part + 1)]]
        if found != wanted:
            raise ValueError(f"weights of shapes {found} where {wanted} are expected")
