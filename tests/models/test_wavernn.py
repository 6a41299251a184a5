"""WaveRNN: its frames, its step against the equations, and lengths that frames decide."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.models.cases import LABEL, network

from ancestral.models import ConditionSpec, DataSpec
from ancestral.models.wavernn import Frames, WaveRNN
from ancestral.runtimes.derive import check, derive

AUDIO = DataSpec(kind="audio", levels=8, sample_rate=8000)
SOFTMAX = {"kind": "categorical", "levels": 8}
MEL = ConditionSpec(name="mel", kind="series", channels=2, hop=6)
SIZES = {"width": 4, "hidden": 5, "scales": [3, 2], "features": 5, "blocks": 1}


def test_a_sample_by_the_equations() -> None:
    """Kalchbrenner et al. 2018, equation 2, in torch's form of the GRU."""
    net = network("wavernn", AUDIO, SOFTMAX, MEL, **SIZES)
    module = net.module
    assert isinstance(module, WaveRNN)
    assert module.frames is not None
    codes, mel = torch.tensor([[5, 0, 7, 2, 1, 3]]), torch.randn(1, 2, 1, dtype=torch.float64)
    params = net(codes, mel)[0, :, 0]
    stretched, features = module.frames(mel)
    weights = dict(module.layers.named_parameters())
    h = torch.zeros(4).double()
    before = torch.zeros(1).double()
    for t in range(6):
        x = module.input(torch.cat([before, stretched[0, t], features[0, t, :3]]))
        own = weights["weight_ih_l0"] @ x + weights["bias_ih_l0"]
        past = weights["weight_hh_l0"] @ h + weights["bias_hh_l0"]
        r, z = (own[:8] + past[:8]).sigmoid().chunk(2)
        n = (own[8:] + r * past[8:]).tanh()
        h = (1 - z) * n + z * h
        y = module.hidden(torch.cat([x + h, features[0, t, 3:]])).relu()
        torch.testing.assert_close(params[t], module.output(y))
        before = 2 * codes[0, t : t + 1].double() / 7 - 1


def test_frames_are_repeated_and_smoothed() -> None:
    """Against numpy's convolution, away from the ends and at them."""
    torch.manual_seed(0)
    frames = Frames(1, [3, 2], 4, 1)
    with torch.no_grad():
        for kernel in frames.kernels:
            kernel.copy_(torch.randn_like(kernel))
    mel = np.random.default_rng(0).normal(size=5).astype(np.float32)
    wanted = np.pad(mel, 2)
    for kernel, scale in zip(frames.kernels, (3, 2), strict=True):
        taps = kernel.detach().numpy()[::-1]
        wanted = np.convolve(np.repeat(wanted, scale), taps, "same")
    stretched, features = frames(torch.from_numpy(mel)[None, None])
    np.testing.assert_allclose(stretched[0, :, 0].detach(), wanted[12:-12], atol=1e-5)
    assert features.shape == (1, 30, 4)
    assert torch.equal(features[0, 6], features[0, 11])


def test_one_program_for_any_number_of_frames() -> None:
    net = network("wavernn", AUDIO, SOFTMAX, MEL, **SIZES).float()
    program = derive(net, [MEL])
    assert check(program, net, [MEL]) < 1e-12
    ring = max(step.ring.length for step in program.steps if step.ring)
    assert ring == 2


@pytest.mark.parametrize(
    ("data", "conditions", "options", "message"),
    [
        (DataSpec(kind="sequence", levels=8), (), {}, "models audio"),
        (AUDIO, (LABEL,), {}, "one series"),
        (AUDIO, (MEL,), {"scales": [4]}, "stretch frames by 4, their hop is 6"),
        (AUDIO, (), {"encoding": "int"}, "the encoding is signed"),
    ],
)
def test_what_it_does_not_model(
    data: DataSpec, conditions: tuple, options: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        network("wavernn", data, SOFTMAX, *conditions, **{**SIZES, **options})
