"""The onnx runtime beside the reference runtime, and its scorer beside torch's."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnx
import pytest
import torch
from tests.causal import drawn
from tests.runtimes import test_native

from ancestral.compile import StepProgram
from ancestral.runtimes.base import Sampling, SlotRequest
from ancestral.runtimes.derive import random_values, step_params
from ancestral.runtimes.onnx.runtime import OnnxRuntime, unsupported
from ancestral.runtimes.onnx.scorer import OnnxScorer
from ancestral.runtimes.onnx.session import Bound, DeviceMissing
from ancestral.runtimes.onnx.step import NEXT, step_graphs
from ancestral.runtimes.onnx.streams import order_on
from ancestral.runtimes.onnx.writer import RULES
from ancestral.runtimes.reference import ReferenceRuntime
from ancestral.runtimes.scorer import Scorer
from ancestral.runtimes.straight.state import stores_of

case = cache(test_native.case)  # graphs are made once a program
NAMES = ["wavenet", "pixelcnn", "rnade"]
MORE = ["colour", "gru", "pixelcnn++", "lstm", "gpt", "nade", "logistics", "rnn"]
ALL = [*NAMES, *(pytest.param(name, marks=pytest.mark.slow) for name in MORE)]


@pytest.mark.parametrize("name", ALL)
def test_params_and_values_are_the_references(name: str) -> None:
    """Params to float32 rounding, from the start and behind a prefix; then the same draws."""
    net, program, sites = case(name)
    values = random_values(net, sites)
    wanted = step_params(program, net, values, (), dtype=torch.float64)
    for first in (0, sites // 2):
        batch = OnnxRuntime(program, net, 1).batch
        found = step_params(program, net, values, (), first, dtype=torch.float32, batch=batch)
        error = float((found - wanted[first:]).abs().max() / wanted.abs().max())
        assert error < 1e-4
    slow = drawn(ReferenceRuntime(program, net, 3), sites, range(3))
    fast = drawn(OnnxRuntime(program, net, 2), sites, range(3), staggered=True)
    for item, drawn_values in slow.items():
        if net.likelihood.discrete:
            np.testing.assert_array_equal(fast[item], drawn_values)
        else:
            np.testing.assert_allclose(fast[item], drawn_values, atol=1e-3)


def test_each_slot_draws_in_its_own_way() -> None:
    net, program, sites = case("wavenet")
    options = [
        Sampling(),
        Sampling(temperature=0),
        Sampling(temperature=0.5, top_k=3),
        Sampling(top_p=0.6),
        Sampling(temperature=2.0, top_k=5, top_p=0.8),
    ]
    found = []
    for kind in (OnnxRuntime, ReferenceRuntime):
        runtime = kind(program, net, len(options))
        for sampling in options:
            runtime.open(SlotRequest(seed=4, item=0, sites=sites, sampling=sampling))
        found.append(runtime.step(sites))
    for ours, reference in zip(*found, strict=True):
        np.testing.assert_array_equal(ours.values, reference.values)
        np.testing.assert_allclose(ours.log_prob, reference.log_prob, atol=1e-4)


def test_a_slots_values_do_not_depend_on_the_batch() -> None:
    net, program, sites = case("wavenet")
    alone = OnnxRuntime(program, net, 1)
    alone.open(SlotRequest(seed=3, item=1, sites=sites))
    wanted = alone.step(sites)[0]
    for n in (2, 5):
        runtime = OnnxRuntime(program, net, n)
        slots = [runtime.open(SlotRequest(seed=3, item=i, sites=sites)) for i in range(n)]
        found = {advance.slot: advance for advance in runtime.step(sites)}[slots[1]]
        np.testing.assert_array_equal(found.values, wanted.values)
        np.testing.assert_allclose(found.log_prob, wanted.log_prob, atol=1e-5)


def test_caches_are_updated_in_place() -> None:
    """A site writes each ring at one place; all else in the bound memory stays as it was."""
    net, program, sites = case("wavenet")
    runtime = OnnxRuntime(program, net, 2)
    runtime.open(SlotRequest(seed=3, item=1, sites=sites))
    runtime.step(5)
    assert isinstance(program, StepProgram)
    stores = stores_of(runtime.batch.caches, 1)  # type: ignore[attr-defined]
    before = {name: store.clone() for name, store in stores.items()}
    runtime.step(1)
    for name, store in stores.items():
        assert int((store != before[name]).any(-1).sum()) <= 1
    assert any(bool((store != before[name]).any()) for name, store in stores.items())


def test_the_graphs_pass_the_checker() -> None:
    net, program, _ = case("pixelcnn")
    batch = OnnxRuntime(program, net, 1).batch
    graphs = step_graphs(batch.caches, net.likelihood, 1)  # type: ignore[attr-defined]
    assert graphs.row is not None
    for model in (graphs.row, graphs.site):
        onnx.checker.check_model(model, full_check=True)
    outputs = {output.name for output in graphs.site.graph.output}
    assert {"params", "values"} < outputs
    assert all(name.startswith(NEXT) for name in outputs - {"params", "values"})


@pytest.mark.parametrize("name", ["wavenet", "pixelcnn", "lstm", "made"])
def test_scores_are_torchs(name: str) -> None:
    net, program, sites = case(name)
    scorer = OnnxScorer(lambda: program, net)
    lengths = [sites] if net.data.shape else [sites, 2 * sites + 1]
    for length in lengths:
        values = np.stack([random_values(net, length)] * 2)
        codes = net.data.from_sites(torch.from_numpy(values))
        torch.testing.assert_close(
            scorer.per_dim(codes), Scorer(net).per_dim(codes), rtol=1e-4, atol=1e-4
        )
    assert scorer.session is not None


def test_what_has_no_form_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    net, program, _ = case("nade")
    monkeypatch.delitem(RULES, "sigmoid")
    assert unsupported(program, net) == "aten.sigmoid.default"
    elements = case("made")
    assert "elements" in (unsupported(elements[1], elements[0]) or "")
    scorer = OnnxScorer(lambda: program, net)
    assert scorer.session is None  # torch scores


def test_a_device_that_is_missing_is_said_so() -> None:
    net, program, _ = case("wavenet")
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises((DeviceMissing, RuntimeError, AssertionError)):
        OnnxRuntime(program, net, 1, device="cuda:0")


def test_runs_on_a_gpu_stand_between_torchs_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a GPU that is not there: streams write down who waits for whom."""
    told: list[str] = []

    class Stream:
        def __init__(self, name: object) -> None:
            self.name = "torch's" if name == "torch's" else "the session's"
            self.cuda_stream = 4711

        def wait_stream(self, other: Stream) -> None:
            told.append(f"{self.name} waits for {other.name}")

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream("torch's"))
    order = order_on(torch.device("cuda:0"))

    class Running:
        def run_with_iobinding(self, binding: object, options: object) -> None:
            assert options is order.run_options
            told.append(f"{binding} runs")

    Bound(Running(), "a site", [], order).run()
    assert told == [
        "the session's waits for torch's",
        "a site runs",
        "torch's waits for the session's",
    ]
    assert order.options == {"user_compute_stream": "4711"}
    entry = order.run_options.get_run_config_entry("disable_synchronize_execution_providers")
    assert entry == "1"
