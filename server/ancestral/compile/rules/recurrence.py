"""Recurrences along time: the state of a layer becomes a cache of one step.

A recurrent layer is one value per layer whose payload is its state, (h, c) for an LSTM. Layers of
a stack follow each other within a step. The operators are torch's `lstm.input`, `gru.input` and
`rnn_*.input`, whose equations are in the documentation of nn.LSTM, nn.GRU and nn.RNN.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ancestral.compile.place import FUTURE, Atom, Dims, Fixed, Ints, View, has, payload_shape
from ancestral.compile.tracer import Tracer, rule

_GATES = {"lstm": 4, "gru": 3, "rnn": 1}


@rule("aten.lstm")
def lstm(t: Tracer, x: View, hx: Sequence[Any], params: Sequence[Any], *how: Any) -> Any:
    return _stack(t, "lstm", x, list(hx), params, *how)


@rule("aten.gru")
def gru(t: Tracer, x: View, hx: Any, params: Sequence[Any], *how: Any) -> Any:
    return _stack(t, "gru", x, [hx], params, *how)


@rule("aten.rnn_tanh", "aten.rnn_relu")
def rnn(t: Tracer, x: View, hx: Any, params: Sequence[Any], *how: Any) -> Any:
    return _stack(t, "rnn", x, [hx], params, *how)


def _stack(t: Tracer, kind: str, x: View, states: list[Any], params: Sequence[Any], biases: bool,
           layers: int, dropout: float, train: bool, bidirectional: bool, batch_first: bool
           ) -> tuple[View]:  # fmt: skip
    """All layers one after the other; the result is the last one's output at every step."""
    if train and dropout:
        raise t.unsupported("dropout in training mode; export the module in eval mode")
    if any(not isinstance(p, Fixed) or p.item for p in params):
        raise t.unsupported("weights that depend on the data or the condition")
    if any(isinstance(s, View) for s in states):
        raise t.unsupported("an initial state that depends on the data")
    x = t.to_flat(x)
    time = 1 if batch_first else 0
    kinds = [[atom.kind for atom in dim] for dim in x.dims]
    if len(kinds) != 3 or kinds[time] != ["flat"] or set(kinds[1 - time]) - {"batch"}:
        raise t.unsupported("a recurrence along an axis that is not time")
    per_layer = len(params) // (layers * (2 if bidirectional else 1))
    for layer in range(layers):
        own = params[layer * per_layer * (2 if bidirectional else 1) :][:per_layer]
        initial = [_initial(t, s, layer) for s in states]
        x = _layer(t, kind, x, initial, own, biases, leaks=bidirectional)
    return (x,)


def _initial(t: Tracer, state: Fixed, layer: int) -> Fixed | None:
    """A layer's state [batch, width] before the first step, None where it is zero."""
    if not state.item and not bool(state.tensor.any()):
        return None
    return t.known("aten.select.int", state, 0, layer)


def _layer(t: Tracer, kind: str, x: View, initial: list[Fixed | None], params: Sequence[Fixed],
           biases: bool, *, leaks: bool) -> View:  # fmt: skip
    names = [p.name for p in params]
    hidden = int(params[1].tensor.shape[0]) // _GATES[kind]
    width = int(params[1].tensor.shape[1])  # of the output: narrower than hidden if projected
    projection = names.pop() if kind == "lstm" and len(names) == (5 if biases else 3) else None
    size = width + (hidden if kind == "lstm" else 0)
    weights = int(sum(np.prod(p.tensor.shape) for p in params if p.tensor.dim() == 2))
    if any(p is not None for p in initial):
        initial = [t.known("aten.zeros_like.default", initial[1 - i]) if p is None else p
                   for i, p in enumerate(initial)]  # fmt: skip
    latest = int(x.ready.max())
    ready: Ints = np.full(size, FUTURE if leaks else latest, dtype=np.int64)
    state = t.scan(
        kind, (*x.dims[:-1], _axis(size)), x, ready, initial, weights=names, projection=projection,
        biases=biases, output=width, hidden=hidden, macs=weights,
    )  # fmt: skip
    dims: Dims = (*x.dims[:-1], _axis(width * (2 if leaks else 1)))
    pick = np.arange(width)
    return t.moved_view(state, dims, np.concatenate([pick, pick]) if leaks else pick)


def _axis(size: int) -> tuple[Atom, ...]:
    return (Atom("payload", size),) if size != 1 else ()


@rule("aten.cumsum")
def cumsum(t: Tracer, x: View, dim: int, **_: Any) -> View:
    """A running sum: along time a carried state, along the payload a sum over what precedes."""
    dim %= len(x.dims)
    if has(x.dims[dim], "batch", "key"):
        raise t.unsupported("a running sum over the batch or over keys")
    if has(x.dims[dim], "row", "col", "flat"):
        x = t.to_flat(x)
        if [a.kind for a in x.dims[dim]] != ["flat"]:
            raise t.unsupported("a running sum along an axis that is not time")
        return t.scan("running-sum", x.dims, x, x.ready)
    shape = payload_shape(x.dims)
    ready = np.maximum.accumulate(x.ready.reshape(shape), axis=dim).ravel()
    return t.value("cumsum", x.dims, x.space, x.extent, [t.take(x)], ready, shape=shape, axis=dim)
