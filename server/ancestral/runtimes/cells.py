"""One step of a recurrence: what a step reads and the state before -> the state after.

The equations and the order of the gates are those of torch's nn.LSTM, nn.GRU and nn.RNN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Cell = Callable[[Tensor, Tensor], Tensor]


def lstm(step: Any, weights: Mapping[str, Tensor], *_: Any) -> Cell:
    """State [..., (h, c)]; gates input, forget, cell, output in one product."""
    matrix, bias = _joined(step, weights)
    name = step.attrs["projection"]
    projection = None if name is None else weights[name]
    width = step.attrs["output"]

    def advance(x: Tensor, state: Tensor) -> Tensor:
        gates = F.linear(torch.cat([x, state[..., :width]], -1), matrix, bias)
        i, f, g, o = gates.chunk(4, -1)
        c = torch.sigmoid(f) * state[..., width:] + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return torch.cat([h if projection is None else F.linear(h, projection), c], -1)

    return advance


def gru(step: Any, weights: Mapping[str, Tensor], *_: Any) -> Cell:
    """State h; the reset gate acts on the recurrent product, its bias included."""
    w_x, w_h, *biases = (weights[name] for name in step.attrs["weights"])
    b_x, b_h = biases or (None, None)
    hidden = step.attrs["hidden"]

    def advance(x: Tensor, h: Tensor) -> Tensor:
        own, past = F.linear(x, w_x, b_x), F.linear(h, w_h, b_h)
        r, z = torch.sigmoid(own[..., : 2 * hidden] + past[..., : 2 * hidden]).chunk(2, -1)
        n = torch.tanh(own[..., 2 * hidden :] + r * past[..., 2 * hidden :])
        return n + z * (h - n)

    return advance


def rnn(step: Any, weights: Mapping[str, Tensor], *_: Any) -> Cell:
    matrix, bias = _joined(step, weights)
    activate = torch.relu if "relu" in step.op else torch.tanh
    return lambda x, h: activate(F.linear(torch.cat([x, h], -1), matrix, bias))


def running_sum(step: Any, weights: Mapping[str, Tensor], *_: Any) -> Cell:
    return lambda x, state: state + x


def _joined(step: Any, weights: Mapping[str, Tensor]) -> tuple[Tensor, Tensor | None]:
    """[W_x, W_h] and b_x + b_h."""
    w_x, w_h, *biases = (weights[name] for name in step.attrs["weights"])
    return torch.cat([w_x, w_h], 1), sum(biases[1:], biases[0]) if biases else None
