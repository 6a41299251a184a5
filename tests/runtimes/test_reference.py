"""The reference runtime's slots: they come and go, wait for their phase, and keep to themselves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.causal import drawn
from torch import Tensor, nn

from ancestral.compile import StepProgram, compile_network
from ancestral.likelihoods import Categorical
from ancestral.models import DataSpec, Network, build
from ancestral.runtimes.base import Sampling, SlotRequest
from ancestral.runtimes.derive import derive
from ancestral.runtimes.naive import NaiveRuntime
from ancestral.runtimes.reference import ReferenceRuntime

H, W = 5, 4
SITES = H * W


@pytest.fixture(scope="module")
def colour() -> tuple[Network, StepProgram]:
    """A PixelCNN of three ordered channels: rows, sites and sub-steps at once."""
    torch.manual_seed(2)
    data = DataSpec("image", (3, H, W), 4)
    net = build("gated-pixelcnn", {"channels": 6, "dilations": [1, 2]}, data, Categorical(4)).eval()
    return net, derive(net)


@pytest.fixture(scope="module")
def audio() -> tuple[Network, StepProgram]:
    torch.manual_seed(2)
    hyper = {"dilations": [1, 2, 4], "residual": 5, "skip": 6}
    net = build("wavenet", hyper, DataSpec("audio", (), 8), Categorical(8)).eval()
    return net, derive(net)


def test_slots_that_close_early_disturb_nobody(colour: tuple[Network, StepProgram]) -> None:
    net, program = colour
    alone = drawn(NaiveRuntime(net, 3), SITES, range(3))
    runtime = ReferenceRuntime(program, net, 3)
    slots = [runtime.open(SlotRequest(seed=11, item=i, sites=SITES)) for i in (7, 0, 1)]
    parts: dict[int, list[np.ndarray]] = {slots[1]: [], slots[2]: []}
    for round_ in range(SITES):
        for advance in runtime.step(2):
            if advance.slot in parts:
                parts[advance.slot].append(advance.values)
        if round_ == 2:
            runtime.close(slots[0])  # in the middle of a row; the last slot takes its place
    for item, slot in ((0, slots[1]), (1, slots[2])):
        np.testing.assert_array_equal(np.concatenate(parts[slot]), alone[item])


def test_a_late_slot_waits_for_the_start_of_a_row_at_most(
    colour: tuple[Network, StepProgram],
) -> None:
    net, program = colour
    runtime = ReferenceRuntime(program, net, 2)
    assert runtime.phase_sites == W
    runtime.open(SlotRequest(seed=1, item=0, sites=SITES))
    runtime.step(W + 1)
    late = runtime.open(SlotRequest(seed=1, item=1, sites=SITES))
    waited = 0
    while late not in {advance.slot for advance in runtime.step(1)}:
        waited += 1
    assert waited == W - 1, "the batch stood one site into a row"


def test_audio_joins_at_any_step_and_lengths_differ(audio: tuple[Network, StepProgram]) -> None:
    net, program = audio
    assert ReferenceRuntime(program, net, 1).phase_sites == 1
    alone = {n: drawn(NaiveRuntime(net, 1), n, [n])[n] for n in (9, 17, 30)}
    runtime = ReferenceRuntime(program, net, 2)
    waiting = [30, 9, 17]
    running: dict[int, int] = {}
    found: dict[int, list[np.ndarray]] = {n: [] for n in alone}
    while waiting or running:
        if waiting and runtime.free:
            n = waiting.pop(0)
            running[runtime.open(SlotRequest(seed=11, item=n, sites=n))] = n
        for advance in runtime.step(4):
            found[running[advance.slot]].append(advance.values)
            if advance.done:
                runtime.close(advance.slot)
                del running[advance.slot]
    for n, values in alone.items():
        np.testing.assert_array_equal(np.concatenate(found[n]), values)


def test_known_values_anywhere_are_kept_and_condition_what_follows(
    colour: tuple[Network, StepProgram],
) -> None:
    net, program = colour
    generator = np.random.default_rng(0)
    known = generator.integers(0, 4, (SITES, 3))
    mask = generator.random((SITES, 3)) < 0.4
    request = SlotRequest(seed=3, item=0, sites=SITES, known=known, known_mask=mask)
    results = []
    for runtime in (ReferenceRuntime(program, net, 1), NaiveRuntime(net, 1)):
        runtime.open(request)
        results.append(runtime.step(SITES)[0])
    fast, slow = results
    np.testing.assert_array_equal(fast.values, slow.values)
    np.testing.assert_array_equal(fast.values[mask], known[mask])
    np.testing.assert_array_equal(fast.given, mask)
    np.testing.assert_allclose(fast.log_prob, slow.log_prob, atol=1e-12)


def test_replayed_values_are_followed_and_the_rest_is_as_undisturbed(
    audio: tuple[Network, StepProgram],
) -> None:
    net, program = audio
    whole = drawn(ReferenceRuntime(program, net, 1), 40, [5])[5]
    runtime = ReferenceRuntime(program, net, 1)
    runtime.open(SlotRequest(seed=11, item=5, sites=40, replay=whole[:23]))
    advance = runtime.step(40)[0]
    np.testing.assert_array_equal(advance.values, whole)
    assert not advance.given.any(), "what was sampled before is not given by the caller"


def test_each_slot_draws_with_its_own_temperature(audio: tuple[Network, StepProgram]) -> None:
    net, program = audio
    options = [Sampling(), Sampling(temperature=0), Sampling(temperature=0.5, top_k=3)]
    together = ReferenceRuntime(program, net, 3)
    for sampling in options:
        together.open(SlotRequest(seed=4, item=0, sites=25, sampling=sampling))
    advances = together.step(25)
    for advance, sampling in zip(advances, options, strict=True):
        alone = NaiveRuntime(net, 1)
        alone.open(SlotRequest(seed=4, item=0, sites=25, sampling=sampling))
        np.testing.assert_array_equal(advance.values, alone.step(25)[0].values)


def test_the_seat_of_a_full_batch_is_refused(audio: tuple[Network, StepProgram]) -> None:
    net, program = audio
    runtime = ReferenceRuntime(program, net, 1)
    runtime.open(SlotRequest(seed=1, item=0, sites=5))
    with pytest.raises(RuntimeError, match="slots are taken"):
        runtime.open(SlotRequest(seed=1, item=1, sites=5))


def rings(program: StepProgram) -> dict[str, int]:
    return {step.name: step.ring.length for step in program.steps if step.ring}


def test_the_program_does_not_grow_with_the_image() -> None:
    """The same steps and the same rows kept for 8×8 and for 40×40 pixels."""
    programs = []
    for size in (8, 40):
        torch.manual_seed(1)
        data = DataSpec("image", (1, size, size), 4)
        hyper = {"channels": 6, "dilations": [1, 2]}
        programs.append(
            compile_network(build("gated-pixelcnn", hyper, data, Categorical(4)).eval())
        )
    small, large = programs
    assert rings(small) == rings(large)
    assert max(rings(large).values()) <= 5
    per_pixel = [p.macs_per_item(n * n) / n**2 for p, n in ((small, 8), (large, 40))]
    assert per_pixel[0] == per_pixel[1]


def test_a_delay_line_is_as_long_as_its_dilation(audio: tuple[Network, StepProgram]) -> None:
    """Fast WaveNet (Le Paine et al. 2016): a layer of dilation d keeps d past steps."""
    kept = sorted(rings(audio[1]).values())
    assert kept == [1, 3, 3, 5], "the codes; d + 1 for d = 1 (and one for the shift), 2 and 4"


def test_a_network_stays_in_its_ring_over_a_long_item(audio: tuple[Network, StepProgram]) -> None:
    net, program = audio
    values = np.random.default_rng(0).integers(0, 8, (3000, 1))
    codes = torch.from_numpy(values[None, :, 0])
    with torch.inference_mode():
        params = net.double()(codes)
        wanted = F.log_softmax(params[0, :, 0], -1).gather(-1, codes[0, :, None])
    net.float()
    runtime = ReferenceRuntime(program, net, 1)
    runtime.open(SlotRequest(seed=0, item=0, sites=3000, replay=values))
    found = runtime.step(3000)[0].log_prob
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-10)


class StartToken(nn.Module):
    """A condition where the sequence starts: what the first position reads is the label's."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.token, self.label = nn.Embedding(4, 5), nn.Embedding(3, 5)
        self.out = nn.Conv1d(5, 4, 2)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        h = torch.cat([self.label(label)[:, None], self.token(x)[:, :-1]], 1).mT
        return self.out(F.pad(torch.tanh(h), (1, 0)))


def test_a_start_vector_may_follow_from_the_condition() -> None:
    from ancestral.models import ConditionSpec

    net = Network(StartToken(), DataSpec("audio", (), 4), "int", "channels-first", Categorical(4))
    program = derive(net.eval(), [ConditionSpec("label", "label", classes=3)])
    for label in range(3):
        given = (torch.tensor([label]),)
        slow = drawn(NaiveRuntime(net, 1), 12, [0], conditions=given)
        fast = drawn(ReferenceRuntime(program, net, 1), 12, [0], conditions=given)
        np.testing.assert_array_equal(fast[0], slow[0])
