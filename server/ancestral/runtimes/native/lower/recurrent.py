"""Recurrences as products and elementwise functions; the equations are those of `cells`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ancestral.runtimes.native.lower.lowering import Lowering
from ancestral.runtimes.native.lower.plan import Part
from ancestral.runtimes.native.storage import Operand


def _operands(low: Lowering, part: Part) -> tuple[Operand, int, Operand]:
    """What the step reads, its length, and the state before."""
    step = part.step
    ((x, size),) = low.runs(step.operands[0], step)
    ((state, _),) = low.runs(step.operands[1], step)
    return x, size, state


def _joined(low: Lowering, part: Part, out: Operand, segments: Any) -> None:
    """[W_x, W_h] [x, h] + b_x + b_h."""
    w_x, w_h, *biases = part.step.attrs["weights"]
    array = low.weights.array
    low.product(
        out,
        segments,
        ("cell", w_x, w_h),
        lambda: np.concatenate([array(w_x), array(w_h)], 1),
        lambda: sum(array(b) for b in biases) if biases else None,
    )


def lstm(low: Lowering, part: Part) -> None:
    """State (h, c); gates input, forget, cell, output."""
    step = part.step
    x, size, state = _operands(low, part)
    width = step.attrs["output"]
    hidden = step.payload - width
    projection = step.attrs["projection"]
    gates = low.temporary(4 * hidden)
    _joined(low, part, gates, [(x, size), (state, width)])
    i, f, g, o = (gates.moved(k * hidden * low.size) for k in range(4))
    kept, new, c, h = (low.temporary(hidden) for _ in range(4))
    low.apply("sigmoid_times", kept, f, state.moved(width * low.size), count=hidden)
    low.apply("gate", new, g, i, count=hidden)
    low.apply("add", c, kept, new, count=hidden)
    low.apply("gate", h, c, o, count=hidden)
    out = low.place(step)
    if projection is None:
        low.apply("copy", out, h, count=width)
    else:
        low.product(out, [(h, hidden)], ("projection", projection),
                    lambda: low.weights.array(projection), lambda: None)  # fmt: skip
    low.put(out, width, c, hidden)


def gru(low: Lowering, part: Part) -> None:
    """State h; the reset gate acts on the recurrent product, its bias included."""
    step = part.step
    x, size, state = _operands(low, part)
    hidden = step.attrs["hidden"]
    w_x, w_h, *biases = step.attrs["weights"]
    b_x, b_h = biases or (None, None)
    own, past = low.temporary(3 * hidden), low.temporary(3 * hidden)
    for out, run, weight, bias in (
        (own, (x, size), w_x, b_x),
        (past, (state, hidden), w_h, b_h),
    ):
        low.product(
            out, [run], ("gru", weight),
            lambda weight=weight: low.weights.array(weight),
            lambda bias=bias: None if bias is None else low.weights.array(bias),
        )  # fmt: skip
    third = hidden * low.size
    both, r, n = (low.temporary(hidden) for _ in range(3))
    low.apply("add", both, own, past, count=hidden)
    low.apply("sigmoid_times", r, both, past.moved(2 * third), count=hidden)
    low.apply("add", r, r, own.moved(2 * third), count=hidden)
    low.apply("tanh", n, r, count=hidden)
    low.apply("add", both, own.moved(third), past.moved(third), count=hidden)
    low.apply("sub", r, state, n, count=hidden)
    low.apply("sigmoid_times", both, both, r, count=hidden)
    low.apply("add", low.place(step), n, both, count=hidden)


def rnn(low: Lowering, part: Part) -> None:
    step = part.step
    x, size, state = _operands(low, part)
    held = low.temporary(step.payload)
    _joined(low, part, held, [(x, size), (state, step.payload)])
    name = "relu" if "relu" in step.op else "tanh"
    low.apply(name, low.place(step), held, count=step.payload)


def running_sum(low: Lowering, part: Part) -> None:
    x, _, state = _operands(low, part)
    low.apply("add", low.place(part.step), state, x, count=part.step.payload)
