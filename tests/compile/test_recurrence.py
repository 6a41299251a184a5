"""Recurrences along time: derived with a state of one step, and sampled as the naive loop does."""

from __future__ import annotations

import copy
from functools import cache

import numpy as np
import pytest
import torch
from tests.causal import ConditionSpec, Function, Network, drawn, network
from torch import Tensor, nn

from ancestral.compile import (
    CausalityError,
    Program,
    StepProgram,
    UnsupportedOperator,
    compile_network,
)
from ancestral.compile.graph import Node
from ancestral.compile.whole import canonical
from ancestral.runtimes.derive import derive, step_params
from ancestral.runtimes.naive import NaiveRuntime
from ancestral.runtimes.reference import ReferenceRuntime

T, LEVELS, WIDTH = 13, 3, 5


def shifted(x: Tensor) -> Tensor:
    return torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], 1)


def batch_first(m: Function, x: Tensor) -> Tensor:
    return m.out(m.rnn(shifted(m.token(x)))[0])


def time_first(m: Function, x: Tensor) -> Tensor:
    return m.out(m.rnn(shifted(m.token(x)).transpose(0, 1))[0].transpose(0, 1))


def output_shifted(m: Function, x: Tensor) -> Tensor:
    """The state after a value conditions the next: what plain language models do."""
    return m.out(shifted(m.rnn(m.token(x))[0]))


def learned_start(m: Function, x: Tensor) -> Tensor:
    state = m.start.weight[:, None].expand(-1, x.shape[0], -1).contiguous()
    given = (state, state) if isinstance(m.rnn, nn.LSTM) else state
    return m.out(m.rnn(shifted(m.token(x)), given)[0])


def residual_stack(m: Function, x: Tensor) -> Tensor:
    h = shifted(m.token(x))
    h = h + m.rnn(h)[0]
    return m.out(torch.relu(h) + m.rnn(h)[0])


def running_sum(m: Function, x: Tensor) -> Tensor:
    """NADE's accumulator, and a running sum over the payload."""
    before = shifted(m.token(x).cumsum(1))
    return m.out(torch.sigmoid(before).cumsum(-1))


def layer(kind: type[nn.RNNBase], **options: object) -> dict[str, nn.Module]:
    torch.manual_seed(2)
    rnn = kind(WIDTH, WIDTH, **{"batch_first": True, **options})  # type: ignore[arg-type]
    width = options.get("proj_size", WIDTH)
    return {
        "token": nn.Embedding(LEVELS, WIDTH), "rnn": rnn, "out": nn.Linear(width, LEVELS),  # type: ignore[arg-type]
        "start": nn.Embedding(int(options.get("num_layers", 1)), WIDTH),  # type: ignore[call-overload]
    }  # fmt: skip


CASES = {
    "lstm": (batch_first, layer(nn.LSTM)),
    "lstm, three layers without biases": (batch_first, layer(nn.LSTM, num_layers=3, bias=False)),
    "lstm, projected": (batch_first, layer(nn.LSTM, proj_size=2, num_layers=2)),
    "lstm, time first": (time_first, layer(nn.LSTM, batch_first=False)),
    "lstm, learned start": (learned_start, layer(nn.LSTM, num_layers=2)),
    "lstm, output shifted": (output_shifted, layer(nn.LSTM)),
    "gru": (batch_first, layer(nn.GRU, num_layers=2)),
    "gru without biases, residual": (residual_stack, layer(nn.GRU, bias=False)),
    "gru, learned start": (learned_start, layer(nn.GRU)),
    "tanh": (output_shifted, layer(nn.RNN, num_layers=2)),
    "relu": (batch_first, layer(nn.RNN, nonlinearity="relu")),
    "running sum": (running_sum, layer(nn.RNN)),
}


@cache
def derived(name: str, kind: str = "sequence") -> tuple[Network, Program]:
    function, layers = CASES[name]
    shape = (T,) if kind == "vector" else ()
    module = Function(function, **layers)
    net = network(module, shape, kind=kind, encoding="int", layout="channels-last")
    return net, derive(net)


@pytest.mark.parametrize(
    ("name", "kind"),
    [*((name, "sequence") for name in CASES), ("lstm", "vector"), ("running sum", "vector")],
)
def test_a_recurrence_samples_as_the_naive_loop_does(name: str, kind: str) -> None:
    net, program = derived(name, kind)
    assert isinstance(program, StepProgram)
    slow = drawn(NaiveRuntime(net, 4), T, range(4))
    fast = drawn(ReferenceRuntime(program, net, 3), T, range(4), staggered=True)
    for item, values in slow.items():
        np.testing.assert_array_equal(fast[item], values)


@pytest.mark.parametrize("prefix", [1, 6, T])
@pytest.mark.parametrize("name", ["lstm, learned start", "tanh", "gru", "running sum"])
def test_a_prefix_fills_the_states(name: str, prefix: int) -> None:
    net, program = derived(name)
    known = np.random.default_rng(prefix).integers(0, LEVELS, (prefix, 1))
    slow = drawn(NaiveRuntime(net, 2), T, range(2), prefix=known)
    fast = drawn(ReferenceRuntime(program, net, 2), T, range(2), prefix=known)
    for item, values in slow.items():
        np.testing.assert_array_equal(fast[item], values)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_the_initial_state_may_follow_from_the_condition(kind: type[nn.RNNBase]) -> None:
    def conditioned(m: Function, x: Tensor, label: Tensor) -> Tensor:
        state = m.label(label).unflatten(1, (2, WIDTH)).transpose(0, 1).contiguous()
        given = (state, torch.zeros_like(state)) if isinstance(m.rnn, nn.LSTM) else state
        return m.out(m.rnn(shifted(m.token(x)), given)[0])

    module = Function(conditioned, **layer(kind, num_layers=2), label=nn.Embedding(4, 2 * WIDTH))
    net = network(module, kind="sequence", encoding="int", layout="channels-last")
    program = derive(net, [ConditionSpec(name="label", kind="label", classes=4)])
    known = np.array([[2], [0], [1]])
    label = (torch.tensor([3]),)
    slow = drawn(NaiveRuntime(net, 2), T, range(2), conditions=label, prefix=known)
    fast = drawn(ReferenceRuntime(program, net, 2), T, range(2), conditions=label, prefix=known)
    for item, values in slow.items():
        np.testing.assert_array_equal(fast[item], values)


def test_a_matrix_for_every_site() -> None:
    class PerSite(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token = nn.Embedding(LEVELS, 6)
            self.weight = nn.Parameter(torch.randn(T, 6, LEVELS))
            self.heads = nn.Parameter(torch.randn(2, 3, 3))

        def forward(self, x: Tensor) -> Tensor:
            h = shifted(self.token(x).cumsum(1))
            h = (h.unflatten(2, (2, 1, 3)) @ self.heads).flatten(2)
            return (torch.sigmoid(h)[:, :, None] @ self.weight)[:, :, 0]

    torch.manual_seed(1)
    net = network(PerSite(), (T,), kind="vector", encoding="int", layout="channels-last")
    program = derive(net)
    assert isinstance(program, StepProgram)
    slow = drawn(NaiveRuntime(net, 3), T, range(3))
    fast = drawn(ReferenceRuntime(program, net, 2), T, range(3), staggered=True)
    for item, values in slow.items():
        np.testing.assert_array_equal(fast[item], values)


def test_one_program_for_any_length_that_keeps_one_state() -> None:
    net, program = derived("lstm, three layers without biases")
    assert isinstance(program, StepProgram)
    states = [s for s in program.steps if s.kind == "lstm"]
    assert [s.payload for s in states] == [2 * WIDTH] * 3
    assert all(s.ring is not None and s.ring.length == 2 for s in states)
    values = np.random.default_rng(0).integers(0, LEVELS, (150, 1))
    found = step_params(program, net, values, ())
    with torch.no_grad():
        wanted = copy.deepcopy(net).double()(torch.from_numpy(values[:, 0])[None])[0]
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


def both_ways(m: Function, x: Tensor) -> Tensor:
    return m.out(m.rnn(shifted(m.token(x)))[0])


def unshifted(m: Function, x: Tensor) -> Tensor:
    return m.out(m.rnn(m.token(x))[0])


def normalised(m: Function, x: Tensor) -> Tensor:
    """A running mean over the final sum reads all positions."""
    h = shifted(m.token(x)).cumsum(1)
    return m.out(h / h.sum(1, keepdim=True))


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (both_ways, {"bidirectional": True}, "reads all positions"),
        (unshifted, {}, r"reads the input at \+0 positions"),
        (normalised, {}, "reads all positions"),
    ],
)
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_a_recurrence_that_reads_its_future_is_refused(  # type: ignore[no-untyped-def]
    kind: type[nn.RNNBase], function, options: dict[str, object], message: str
) -> None:
    layers = layer(kind, **options)
    if options:
        layers["out"] = nn.Linear(2 * WIDTH, LEVELS)
    net = network(Function(function, **layers), kind="sequence", encoding="int",
                  layout="channels-last")  # fmt: skip
    with pytest.raises(CausalityError, match=message) as error:
        compile_network(net)
    assert "input codes  the data" in str(error.value)


def test_a_state_that_depends_on_the_data_is_no_state_to_start_from() -> None:
    def start(m: Function, x: Tensor) -> Tensor:
        first = m.token(x)[:, 0][None].contiguous()
        return m.out(m.rnn(shifted(m.token(x)), first)[0])

    net = network(Function(start, **layer(nn.GRU)), kind="sequence", encoding="int",
                  layout="channels-last")  # fmt: skip
    with pytest.raises(UnsupportedOperator, match="picking one position"):
        compile_network(net)


def test_a_layer_exported_for_a_cpu_is_an_lstm() -> None:
    """What torch.export leaves of an nn.LSTM in float32, run as the operator it stands for."""
    lstm = nn.LSTM(4, 3)
    x, h, c = torch.randn(7, 2, 4), torch.randn(1, 2, 3), torch.randn(1, 2, 3)
    params = [p.detach() for p in lstm.parameters()]
    args = (x, *params, h, c, False, [], 2, 3, 1, True, False, False, False)
    node = canonical(Node("rnn", "aten.mkldnn_rnn_layer.default", args))
    assert node.op == "aten.lstm.input"
    found = torch.ops.aten.lstm.input(*node.args)
    wanted = torch.ops.aten.mkldnn_rnn_layer.default(*args)
    for a, b in zip(found, wanted, strict=False):
        torch.testing.assert_close(a, b.reshape(a.shape))
