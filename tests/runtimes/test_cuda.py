"""The CUDA runtime's recordings on the CPU: the same operations, called instead of captured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from tests.causal import drawn
from tests.runtimes import test_native
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ancestral.likelihoods.noise import uniforms
from ancestral.runtimes.base import Sampling, SlotRequest
from ancestral.runtimes.cuda.capture import Calls
from ancestral.runtimes.cuda.noise import as_signed
from ancestral.runtimes.cuda.noise import uniforms as on_device
from ancestral.runtimes.cuda.runtime import CudaRuntime, checked_device
from ancestral.runtimes.reference import ReferenceRuntime

case = cache(test_native.case)
QUICK = ["wavenet", "pixelcnn", "rnade", "made"]
MORE = ["colour", "pixelcnn++", "gru", "lstm", "gpt", "nade", "logistics", "strided"]
ALL = [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in MORE)]


class HostAsked(AssertionError):
    """A recorded operation whose result the host needs: a graph cannot hold it."""


class OnDeviceOnly(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Refuses what would end a capture on a GPU."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func)
        if any(word in name for word in ("_local_scalar_dense", "nonzero", "masked_select")):
            raise HostAsked(name)
        return func(*args, **(kwargs or {}))


class Recorder(Calls):
    """Calls, that check and count what is recorded and repeated."""

    def __init__(self) -> None:
        self.recordings = self.repeats = 0

    def record(self, work: Callable[[], None], changed: Sequence[Tensor]) -> Callable[[], None]:
        self.recordings += 1
        addresses = [tensor.data_ptr() for tensor in changed]

        def repeat() -> None:
            self.repeats += 1
            with OnDeviceOnly():
                work()
            assert [tensor.data_ptr() for tensor in changed] == addresses

        return repeat


@pytest.mark.parametrize("seed", [0, 11, 2**63 + 5, 2**64 - 1])
def test_noise_is_that_of_the_other_runtimes(seed: int) -> None:
    sites = torch.tensor([0, 1, 783, 2**33 + 7])
    items = torch.tensor([0, 5, 2**31, 2**32 - 1])
    seeds = torch.full_like(sites, as_signed(seed))
    found = on_device(seeds, items, sites, torch.arange(3))
    wanted = uniforms(seed, items.numpy()[:, None], sites.numpy()[:, None], np.arange(3)[None])
    np.testing.assert_array_equal(found.numpy(), wanted[..., :2])


@pytest.mark.parametrize("name", ALL)
def test_values_are_the_references(name: str) -> None:
    """Slots come and go between recordings; nothing recorded waits for the host."""
    net, program, sites = case(name)
    slow = drawn(ReferenceRuntime(program, net, 3), sites, range(4))
    for staggered in (False, True):
        recorder = Recorder()
        runtime = CudaRuntime(program, net, 3, device="cpu", capture=recorder)
        fast = drawn(runtime, sites, range(4), staggered=staggered, chunk=9)
        for item, values in slow.items():
            if net.likelihood.discrete:
                np.testing.assert_array_equal(fast[item], values)
            else:
                np.testing.assert_allclose(fast[item], values, atol=1e-3)
        assert recorder.repeats >= recorder.recordings > 0


@pytest.mark.parametrize("name", ["pixelcnn", "made"])
def test_known_values_prefix_and_replay(name: str) -> None:
    net, program, sites = case(name)
    known = np.random.default_rng(0).integers(0, net.data.levels or 2, (sites, 1))
    scattered = np.random.default_rng(1).random((sites, 1)) < 0.4
    for mask in (np.arange(sites)[:, None] < sites // 2, scattered):
        request = SlotRequest(seed=3, item=0, sites=sites, known=known, known_mask=mask)
        found = []
        for runtime in (
            CudaRuntime(program, net, 1, device="cpu", capture=Recorder()),
            ReferenceRuntime(program, net, 1),
        ):
            runtime.open(request)
            found.append(runtime.step(sites)[0])
        np.testing.assert_array_equal(found[0].values, found[1].values)
        np.testing.assert_array_equal(found[0].given, mask)
        np.testing.assert_allclose(found[0].log_prob, found[1].log_prob, atol=1e-4)
    whole = found[0].values
    again = CudaRuntime(program, net, 1, device="cpu")
    again.open(
        SlotRequest(
            seed=3, item=0, sites=sites, known=known, known_mask=scattered, replay=whole[:7]
        )
    )
    np.testing.assert_array_equal(again.step(sites)[0].values, whole)


def test_each_slot_draws_in_its_own_way() -> None:
    net, program, sites = case("wavenet")
    options = [
        Sampling(),
        Sampling(temperature=0),
        Sampling(temperature=0.5, top_k=3),
        Sampling(temperature=2.0, top_k=5, top_p=0.8),
    ]
    found = []
    for runtime in (
        CudaRuntime(program, net, len(options), device="cpu"),
        ReferenceRuntime(program, net, len(options)),
    ):
        for sampling in options:
            runtime.open(SlotRequest(seed=4, item=0, sites=sites, sampling=sampling))
        found.append(runtime.step(sites))
    for ours, reference in zip(*found, strict=True):
        np.testing.assert_array_equal(ours.values, reference.values)
        np.testing.assert_allclose(ours.log_prob, reference.log_prob, atol=1e-4)


@pytest.mark.parametrize("name", ["wavenet", "rnade"])
def test_weights_and_caches_in_bfloat16(name: str) -> None:
    """Nats of given values are near those in float32: eight bits of mantissa."""
    net, program, sites = case(name)
    runtime = CudaRuntime(program, net, 1, device="cpu")
    runtime.open(SlotRequest(seed=3, item=0, sites=sites))
    whole = runtime.step(sites)[0]
    rounded = CudaRuntime(program, net, 1, device="cpu", precision="bf16")
    rounded.open(SlotRequest(seed=3, item=0, sites=sites, replay=whole.values))
    found = rounded.step(sites)[0]
    error = abs(float(found.log_prob.mean() - whole.log_prob.mean()))
    assert 0 < error < 0.1


def test_devices_that_are_missing() -> None:
    assert checked_device("cpu").type == "cpu"
    with pytest.raises(ValueError, match="device tpu"):
        checked_device("tpu")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match=r"device cuda:0: torch .* (no GPU|without CUDA)"):
            checked_device("cuda:0")
