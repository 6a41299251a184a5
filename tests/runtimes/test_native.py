"""The native runtime beside the naive sampler and the forward pass; a slot's bits are its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.causal import drawn

from ancestral.compile import Program, compile_network
from ancestral.engine.runtimes import new_runtime
from ancestral.likelihoods import Categorical, from_config
from ancestral.models import ConditionSpec, DataSpec, Network, build
from ancestral.runtimes.base import Sampling, SlotRequest
from ancestral.runtimes.derive import step_params
from ancestral.runtimes.naive import NaiveRuntime
from ancestral.runtimes.native.lower.elements import ElementLowering
from ancestral.runtimes.native.runtime import NativeRuntime
from ancestral.runtimes.reference import ReferenceRuntime

LABEL = ConditionSpec("label", "label", classes=3)
IMAGE = DataSpec("image", (1, 5, 4), 4)
AUDIO = DataSpec("audio", (), 8)
TEXT = DataSpec("sequence", (), 8)
PIXELS = {"channels": 6, "dilations": [1, 2]}
NETWORKS: dict[str, tuple[str, dict[str, Any], DataSpec, dict[str, Any]]] = {
    "wavenet": ("wavenet", {"dilations": [1, 2, 4], "residual": 5, "skip": 20}, AUDIO, {}),
    "pixelcnn": ("gated-pixelcnn", PIXELS, IMAGE, {}),
    "colour": ("gated-pixelcnn", PIXELS, DataSpec("image", (3, 5, 4), 4), {}),
    "pixelcnn++": (
        "pixelcnn-pp",
        {"channels": 4, "layers": 1, "scales": 1},
        DataSpec("image", (3, 4, 4), 8),
        {"kind": "discretized-logistic-mixture", "components": 3, "channels": 3, "levels": 8},
    ),
    "lstm": ("char-rnn", {"width": 6, "layers": 2, "cell": "lstm"}, TEXT, {}),
    "gru": ("char-rnn", {"width": 6, "layers": 2, "cell": "gru"}, TEXT, {}),
    "rnn": ("char-rnn", {"width": 6, "layers": 1, "cell": "rnn"}, TEXT, {}),
    "gpt": ("image-gpt", {"layers": 2, "width": 8, "heads": 2}, IMAGE, {}),
    "nade": ("nade", {"hidden": 7}, DataSpec("vector", (9,), 2), {"kind": "bernoulli"}),
    "rnade": (
        "rnade",
        {"hidden": 7},
        DataSpec("vector", (9,), None),
        {"kind": "mixture-of-gaussians", "components": 3},
    ),
    "made": (
        "made",
        {"hidden": [12, 12]},
        DataSpec("vector", (6,), 2),
        {"kind": "bernoulli"},
    ),
    "strided": (
        "pixelcnn-pp",
        {"channels": 4, "layers": 1, "scales": 2},
        DataSpec("image", (3, 4, 4), 8),
        {"kind": "discretized-logistic-mixture", "components": 3, "channels": 3, "levels": 8},
    ),
    "logistics": (
        "wavenet",
        {"dilations": [1, 2], "residual": 5, "skip": 6},
        AUDIO,
        {"kind": "mixture-of-logistics", "components": 3, "levels": 8},
    ),
}


def case(name: str) -> tuple[Network, Program, int]:
    """A network with weights far from uniform, its program and the sites of an item."""
    family, hyper, data, likelihood = NETWORKS[name]
    torch.manual_seed(2)
    head = from_config(likelihood) if likelihood else Categorical(data.levels or 2)
    net = build(family, hyper, data, head).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.4)
    program = compile_network(net)
    return net, program, data.sites() if data.shape else 21


@pytest.mark.parametrize("name", NETWORKS)
def test_values_are_those_of_the_naive_sampler(name: str) -> None:
    net, program, sites = case(name)
    slow = drawn(NaiveRuntime(net, 3), sites, range(3))
    for staggered in (False, True):
        runtime = NativeRuntime(program, net, 2, dtype=torch.float64)
        fast = drawn(runtime, sites, range(3), staggered=staggered)
        for item, values in slow.items():
            if net.likelihood.discrete:
                np.testing.assert_array_equal(fast[item], values)
            else:
                np.testing.assert_allclose(fast[item], values, atol=1e-9)


@pytest.mark.parametrize("name", NETWORKS)
def test_params_are_those_of_the_forward_pass(name: str) -> None:
    net, program, sites = case(name)
    generator = np.random.default_rng(0)
    shape = (sites, net.data.dims_per_site)
    levels = net.data.levels
    values = (
        generator.standard_normal(shape) if levels is None else generator.integers(0, levels, shape)
    )
    for dtype, limit in ((torch.float64, 1e-10), (torch.float32, 1e-4)):
        wanted = step_params(program, net, values, (), dtype=torch.float64)
        for first in (0, sites // 2):
            batch = NativeRuntime(program, net, 1, dtype=dtype).batch
            found = step_params(program, net, values, (), first, dtype=dtype, batch=batch)
            error = float((found - wanted[first:]).abs().max() / wanted.abs().max())
            assert error < limit


@pytest.mark.parametrize("name", ["wavenet", "colour", "lstm", "gpt", "pixelcnn++", "strided"])
def test_a_slots_bits_do_not_depend_on_the_batch(name: str) -> None:
    net, program, sites = case(name)
    alone = NativeRuntime(program, net, 1)
    alone.open(SlotRequest(seed=3, item=1, sites=sites))
    wanted = alone.step(sites)[0]
    for n in range(2, 10):
        runtime = NativeRuntime(program, net, n)
        slots = [runtime.open(SlotRequest(seed=3, item=i, sites=sites)) for i in range(n)]
        found = {advance.slot: advance for advance in runtime.step(sites)}[slots[1]]
        np.testing.assert_array_equal(found.values, wanted.values)
        np.testing.assert_array_equal(found.log_prob, wanted.log_prob)


def test_an_element_program_is_lowered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[ElementLowering] = []
    build = ElementLowering.build
    monkeypatch.setattr(
        ElementLowering, "build", lambda low, rules: (built.append(low), build(low, rules))[1]
    )
    net, program, sites = case("strided")
    runtimes = [NativeRuntime(program, net, slots) for slots in (1, 3, 9)]
    assert len(built) == 1
    for runtime in runtimes:  # each with a room of its own
        for item in range(min(runtime.slots, 2)):
            runtime.open(SlotRequest(seed=3, item=item, sites=sites))
    found: list[list[np.ndarray]] = [[] for _ in runtimes]
    for _ in range(0, sites, 5):
        for parts, runtime in zip(found, runtimes, strict=True):
            parts.append(runtime.step(5)[0].values)
    for parts in found[1:]:
        np.testing.assert_array_equal(np.concatenate(parts), np.concatenate(found[0]))


@pytest.mark.parametrize("name", ["colour", "lstm"])
def test_a_slots_bits_do_not_depend_on_the_cores(name: str) -> None:
    net, program, sites = case(name)
    found = []
    for cores in (1, 2, 3):
        runtime = new_runtime("native", program, net, 5, None, cores)
        for item in range(5):
            runtime.open(SlotRequest(seed=3, item=item, sites=sites))
        found.append(runtime.step(sites))
        assert runtime.name == "native"
    for spread in found[1:]:
        for wanted, advance in zip(found[0], spread, strict=True):
            np.testing.assert_array_equal(advance.values, wanted.values)
            np.testing.assert_array_equal(advance.log_prob, wanted.log_prob)


@pytest.mark.parametrize("name", ["wavenet", "pixelcnn", "gpt", "lstm", "made"])
def test_prefix_known_values_and_replay(name: str) -> None:
    net, program, sites = case(name)
    known = np.random.default_rng(0).integers(0, net.data.levels or 2, (sites, 1))
    scattered = np.random.default_rng(1).random((sites, 1)) < 0.4
    for mask in (np.arange(sites)[:, None] < sites // 2, scattered):
        request = SlotRequest(seed=3, item=0, sites=sites, known=known, known_mask=mask)
        results = []
        for runtime in (
            NativeRuntime(program, net, 1, dtype=torch.float64),
            NaiveRuntime(net, 1),
        ):
            runtime.open(request)
            results.append(runtime.step(sites)[0])
        np.testing.assert_array_equal(results[0].values, results[1].values)
        np.testing.assert_array_equal(results[0].given, mask)
        np.testing.assert_allclose(results[0].log_prob, results[1].log_prob, atol=1e-9)
    single = NativeRuntime(program, net, 1)
    single.open(SlotRequest(seed=5, item=2, sites=sites))
    whole = single.step(sites)[0]
    again = NativeRuntime(program, net, 1)
    again.open(SlotRequest(seed=5, item=2, sites=sites, replay=whole.values[: sites // 3]))
    replayed = again.step(sites)[0]
    np.testing.assert_array_equal(replayed.values, whole.values)
    np.testing.assert_array_equal(replayed.log_prob, whole.log_prob)


def test_each_slot_draws_in_its_own_way() -> None:
    net, program, sites = case("wavenet")
    options = [
        Sampling(),
        Sampling(temperature=0),
        Sampling(temperature=0.5, top_k=3),
        Sampling(top_p=0.6),
        Sampling(temperature=2.0, top_k=5, top_p=0.8),
    ]
    together = NativeRuntime(program, net, len(options), dtype=torch.float64)
    for sampling in options:
        together.open(SlotRequest(seed=4, item=0, sites=sites, sampling=sampling))
    for advance, sampling in zip(together.step(sites), options, strict=True):
        alone = NaiveRuntime(net, 1)
        alone.open(SlotRequest(seed=4, item=0, sites=sites, sampling=sampling))
        slow = alone.step(sites)[0]
        np.testing.assert_array_equal(advance.values, slow.values)
        np.testing.assert_allclose(advance.log_prob, slow.log_prob, atol=1e-9)


def test_conditions_and_lengths_differ_from_slot_to_slot() -> None:
    torch.manual_seed(2)
    series = ConditionSpec("pitch", "series", channels=2)
    hyper = {"dilations": [1, 2, 4], "residual": 5, "skip": 6}
    net = build("wavenet", hyper, AUDIO, Categorical(8), [LABEL, series]).eval()
    program = compile_network(net, [LABEL, series])
    runtimes = [
        NativeRuntime(program, net, 3, dtype=torch.float64),
        ReferenceRuntime(program, net, 3),
    ]
    results = []
    for runtime in runtimes:
        found: dict[int, list[np.ndarray]] = {}
        for i, sites in enumerate((9, 30, 17)):
            torch.manual_seed(i)
            conditions = (torch.tensor([i]), torch.randn(1, 2, sites, dtype=torch.float64))
            runtime.open(SlotRequest(seed=1, item=i, sites=sites, conditions=conditions))
            for advance in runtime.step(4):
                found.setdefault(advance.slot, []).append(advance.values)
        for advance in runtime.step(30):
            found.setdefault(advance.slot, []).append(advance.values)
        results.append({slot: np.concatenate(parts) for slot, parts in found.items()})
    for slot, values in results[1].items():
        np.testing.assert_array_equal(results[0][slot], values)
