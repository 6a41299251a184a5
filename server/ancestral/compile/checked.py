"""Recurrent layers with their operands' shapes checked: the CPU's own kernel trusts its caller."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
        directions = 2 if rest[2] else 1
        states = list(hx) if isinstance(hx, (list, tuple)) else [hx]
        _check(x, states, params, gates, biases, layers * directions, directions, rest[3])
        return function(x, hx, params, biases, layers, *rest)

    return call


def _check(
    x: Tensor, states: Sequence[Tensor], params: Sequence[Tensor], gates: int, biases: bool,
    count: int, directions: int, batch_first: bool,
) -> None:  # fmt: skip
    """An LSTM has two states; projected (proj_size), its output is narrower than its cell."""
    if x.dim() != 3 or not states:
        raise ValueError("a recurrent layer reads [batch, time, features] and a state")
    output, hidden = states[0].shape[-1], states[-1].shape[-1]
    projected = [(output, hidden)] if output != hidden else []
    biased = [(gates * hidden,)] * 2 if biases else []
    each = 2 + len(biased) + len(projected)
    if len(params) != each * count:
        raise ValueError(f"a recurrent layer of {count} parts has {len(params)} weights")
    batch = x.shape[0 if batch_first else 1]
    for state, width in zip(states, (output, hidden), strict=False):
        if tuple(state.shape) != (count, batch, width):
            raise ValueError(f"states of shape {list(state.shape)} for a batch of {batch}")
    for part in range(count):
        inner = x.shape[2] if part < directions else output * directions
        matrices = [(gates * hidden, inner), (gates * hidden, output)]
        wanted = [*matrices, *biased, *projected]
        found = [tuple(weight.shape) for weight in params[each * part : each * (part + 1)]]
        if found != wanted:
            raise ValueError(f"weights of shapes {found} where {wanted} are expected")
