"""WaveNet against its recursion written out in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.models.cases import LABEL, SERIES, dependencies, network

from ancestral.models import ConditionSpec, DataSpec
from ancestral.models.wavenet import Upsampling, WaveNet

TRITS = {"kind": "categorical", "levels": 3}
AUDIO = DataSpec(kind="audio", levels=3, sample_rate=8000)


def test_the_recursion_step_by_step() -> None:
    net = network(
        "wavenet",
        AUDIO,
        TRITS,
        LABEL,
        SERIES,
        dilations=[1, 3],
        residual=4,
        gate=5,
        skip=6,
        kernel=3,
        final=[7],
    )
    module = net.module
    assert isinstance(module, WaveNet)
    w = {name: value.detach().numpy() for name, value in module.state_dict().items()}
    generator = np.random.default_rng(0)
    codes = generator.integers(0, 3, 11)
    series = generator.normal(size=(2, 11))
    x = np.zeros((11, 4))
    x[1:] = w["input.weight"][codes[:-1]]
    total = np.zeros((11, 6))
    for layer, dilation in enumerate([1, 3]):
        p = f"layers.{layer}."
        both = np.zeros((11, 10)) + w[p + "dilated.bias"] + w[p + "conditions.0.weight"][1]
        both += (w[p + "conditions.1.weight"][:, :, 0] @ series).T
        for t in range(11):
            for tap in range(3):
                source = t - (2 - tap) * dilation
                if source >= 0:
                    both[t] += w[p + "dilated.weight"][:, :, tap] @ x[source]
        z = np.tanh(both[:, :5]) / (1 + np.exp(-both[:, 5:]))
        total += z @ w[p + "skip.weight"][:, :, 0].T + w[p + "skip.bias"]
        if layer == 0:
            x = x + z @ w[p + "residual.weight"][:, :, 0].T + w[p + "residual.bias"]
    hidden = np.maximum(total, 0) @ w["final.0.weight"][:, :, 0].T + w["final.0.bias"]
    expected = np.maximum(hidden, 0) @ w["final.1.weight"][:, :, 0].T + w["final.1.bias"]
    got = net(torch.from_numpy(codes)[None], torch.tensor([1]), torch.from_numpy(series)[None])
    np.testing.assert_allclose(got[0, :, 0].detach().numpy(), expected, rtol=1e-12, atol=1e-12)


def test_receptive_field_is_one_and_the_dilations() -> None:
    net = network("wavenet", AUDIO, TRITS, dilations=[1, 2, 4], residual=3, skip=3)
    seen = dependencies(net, 14)
    lag = np.arange(14)[:, None] - np.arange(14)[None, :]
    assert (seen == ((lag >= 1) & (lag <= 1 + 1 + 2 + 4))).all()


def test_values_instead_of_codes() -> None:
    net = network(
        "wavenet", AUDIO, TRITS, encoding="signed", dilations=[1], residual=3, skip=3, final=[]
    )
    assert isinstance(net.module.input, torch.nn.Conv1d)
    assert net(torch.tensor([[0, 2, 1]])).shape == (1, 3, 1, 3)


def test_what_it_refuses() -> None:
    with pytest.raises(ValueError, match="at least one layer"):
        WaveNet(3, 3, dilations=[], residual=2, skip=2)
    with pytest.raises(ValueError, match="encoding is int"):
        network("wavenet", AUDIO, TRITS, encoding="one-hot", dilations=[1], residual=3, skip=3)


def test_frames_are_repeated_and_smoothed_to_the_rate_of_the_samples() -> None:
    up = Upsampling(2, [3, 2], 1, 0).double()
    frames = torch.randn(1, 2, 5, dtype=torch.float64)
    expected = frames.numpy()
    for factor in (3, 2):
        size = 2 * factor + 1
        expected = np.repeat(expected, factor, axis=-1)
        padded = np.pad(expected, [(0, 0), (0, 0), (factor, factor)])
        windows = np.lib.stride_tricks.sliding_window_view(padded, size, axis=-1)
        expected = windows.mean(-1)
    np.testing.assert_allclose(up(frames).detach().numpy(), expected, rtol=1e-6)


def test_the_hop_is_the_product_of_the_factors() -> None:
    mel = ConditionSpec(name="mel", kind="series", channels=2, hop=6)
    sizes = {"dilations": [1], "residual": 3, "skip": 3}
    net = network("wavenet", AUDIO, TRITS, mel, upsample=[3, 2], upsample_context=1, **sizes)
    codes = torch.randint(0, 3, (2, 24))
    assert net(codes, torch.randn(2, 2, 4, dtype=torch.float64)).shape == (2, 24, 1, 3)
    with pytest.raises(ValueError, match="product of upsample"):
        network("wavenet", AUDIO, TRITS, mel, upsample=[3, 3], **sizes)


@pytest.mark.parametrize("dilations", [[1, 1, 1], [1, 2, 4, 8, 1, 2], [7, 3, 1]])
@pytest.mark.parametrize("kernel", [2, 3])
def test_any_dilations_with_a_mixture_of_logistics(dilations: list[int], kernel: int) -> None:
    likelihood = {"kind": "mixture-of-logistics", "levels": 65536, "components": 2}
    audio = DataSpec(kind="audio", levels=65536, sample_rate=8000)
    net = network(
        "wavenet", audio, likelihood, encoding="signed", dilations=dilations, kernel=kernel,
        residual=3, skip=4,
    )  # fmt: skip
    field = 1 + (kernel - 1) * sum(dilations)
    codes = torch.randint(0, 65536, (1, field + 2))
    moved = codes.clone()
    moved[0, 0] = (moved[0, 0] + 30000) % 65536
    change = (net(codes) - net(moved)).detach().abs().amax((0, 2, 3))
    assert float(change[0]) == 0
    assert (change[1 : field + 1] > 0).any()
    assert float(change[field + 1]) == 0
