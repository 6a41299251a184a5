"""Recurrent layers written out step by step, for items of one size.

The equations are those of torch's documentation of nn.LSTM, nn.GRU and nn.RNN. What a layer reads
at each of its steps is then seen element by element: along rows or columns, or backwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ancestral.compile.graph import Ref
from ancestral.compile.rewriter import Rewriter, Rewriting

State = tuple[Ref, ...]  # h, and c of an LSTM: [B, hidden] each
Cell = Callable[[Rewriter, Ref, Ref, State], State]  # of gates from the input and from the state

SIGMOID, TANH, RELU = "aten.sigmoid.default", "aten.tanh.default", "aten.relu.default"


def _sum(r: Rewriter, a: Ref, b: Ref) -> Ref:
    return r.emit("aten.add.Tensor", a, b)


def _product(r: Rewriter, a: Ref, b: Ref) -> Ref:
    return r.emit("aten.mul.Tensor", a, b)


def _parts(r: Rewriter, gates: Ref, count: int) -> list[Ref]:
    size = r.shape(gates)[-1] // count
    return [r.emit("aten.slice.Tensor", gates, -1, i * size, (i + 1) * size) for i in range(count)]


def _lstm_cell(r: Rewriter, given: Ref, carried: Ref, state: State) -> State:
    i, f, g, o = _parts(r, _sum(r, given, carried), 4)
    kept = _product(r, r.emit(SIGMOID, f), state[1])
    c = _sum(r, kept, _product(r, r.emit(SIGMOID, i), r.emit(TANH, g)))
    return _product(r, r.emit(SIGMOID, o), r.emit(TANH, c)), c


def _gru_cell(r: Rewriter, given: Ref, carried: Ref, state: State) -> State:
    (ri, zi, ni), (rh, zh, nh) = _parts(r, given, 3), _parts(r, carried, 3)
    reset, update = r.emit(SIGMOID, _sum(r, ri, rh)), r.emit(SIGMOID, _sum(r, zi, zh))
    new = r.emit(TANH, _sum(r, ni, _product(r, reset, nh)))
    return (_sum(r, new, _product(r, update, r.emit("aten.sub.Tensor", state[0], new))),)


def _rnn_cell(activation: str) -> Cell:
    def cell(r: Rewriter, given: Ref, carried: Ref, state: State) -> State:
        return (r.emit(activation, _sum(r, given, carried)),)

    return cell


def _layers(cell: Cell) -> Rewriting:
    def unrolled(
        r: Rewriter, x: Ref, hx: Any, params: Sequence[Ref], biases: bool, layers: int,
        dropout: float, train: bool, bidirectional: bool, batch_first: bool,
    ) -> tuple[Ref, ...]:  # fmt: skip
        """Raises ValueError for what stays whole: layers of the condition alone, packed input."""
        if not r.is_located(x) or len(r.shape(x)) != 3 or (train and dropout):
            raise ValueError("not a layer over the data")
        time = 1 if batch_first else 0
        states = list(hx) if isinstance(hx, (list, tuple)) else [hx]
        ways = 2 if bidirectional else 1
        per_layer = len(params) // (layers * ways)
        for layer in range(layers):
            outputs = []
            for way in range(ways):
                number = layer * ways + way
                own = params[number * per_layer :][:per_layer]
                first = tuple(r.emit("aten.select.int", s, 0, number) for s in states)
                outputs.append(_one_way(r, cell, x, first, own, biases, time, backwards=way == 1))
            x = outputs[0] if ways == 1 else r.emit("aten.cat.default", outputs, -1)
        return (x,)

    return unrolled


def _one_way(
    r: Rewriter, cell: Cell, x: Ref, state: State, params: Sequence[Ref], biases: bool, time: int,
    *, backwards: bool,
) -> Ref:  # fmt: skip
    """The outputs of one layer at every step."""
    (of_input, of_state), rest = params[:2], list(params[2:])
    bias = (rest.pop(0), rest.pop(0)) if biases else (None, None)
    gates = r.emit("aten.linear.default", x, of_input, bias[0])
    steps = range(r.shape(x)[time])
    outputs: list[Ref] = []
    for step in reversed(steps) if backwards else steps:
        given = r.emit("aten.select.int", gates, time, step)
        carried = r.emit("aten.linear.default", state[0], of_state, bias[1])
        state = cell(r, given, carried, state)
        if rest:  # a projection of the output
            state = (r.emit("aten.linear.default", state[0], rest[0]), *state[1:])
        outputs.append(state[0])
    return r.emit("aten.stack.default", outputs[::-1] if backwards else outputs, time)


UNROLLED: dict[str, Rewriting] = {
    "aten.lstm": _layers(_lstm_cell),
    "aten.gru": _layers(_gru_cell),
    "aten.rnn_tanh": _layers(_rnn_cell(TANH)),
    "aten.rnn_relu": _layers(_rnn_cell(RELU)),
}
