"""The plain causal convolution against its recursion written out in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.models.cases import LABEL, SERIES, dependencies, network

from ancestral.models import DataSpec
from ancestral.runtimes.derive import derive

TRITS = {"kind": "categorical", "levels": 3}
AUDIO = DataSpec(kind="audio", levels=3, sample_rate=8000)
SIZES = {"channels": 4, "layers": 2, "kernel": 3}


def test_the_recursion_step_by_step() -> None:
    net = network("causal-conv", AUDIO, TRITS, LABEL, **SIZES)
    w = {name: value.detach().numpy() for name, value in net.module.state_dict().items()}
    codes = np.random.default_rng(0).integers(0, 3, 9)
    h = np.zeros((9, 4))
    h[1:] = w["input.weight"][codes[:-1]]
    h += w["labels.0.weight"][1]
    for layer in range(2):
        new = h.copy()
        for t in range(9):
            y = w[f"convs.{layer}.bias"].copy()
            for tap in range(3):
                if t - 2 + tap >= 0:
                    y += w[f"convs.{layer}.weight"][:, :, tap] @ h[t - 2 + tap]
            new[t] += np.maximum(y, 0)
        h = new
    hidden = np.maximum(h @ w["hidden.weight"][:, :, 0].T + w["hidden.bias"], 0)
    expected = hidden @ w["output.weight"][:, :, 0].T + w["output.bias"]
    got = net(torch.from_numpy(codes)[None], torch.tensor([1]))
    np.testing.assert_allclose(got[0, :, 0].detach().numpy(), expected, rtol=1e-12, atol=1e-12)


def test_it_reads_the_last_steps_and_no_others() -> None:
    found = dependencies(network("causal-conv", AUDIO, TRITS, **SIZES), 9)
    reach = np.subtract.outer(np.arange(9), np.arange(9))
    assert (found[(reach < 1) | (reach > 5)] == 0).all()
    assert found[(reach >= 1) & (reach <= 5)].mean() > 0.9


@pytest.mark.parametrize(
    ("likelihood", "encoding"),
    [(TRITS, "int"), ({"kind": "mixture-of-logistics", "levels": 256, "components": 2}, "signed")],
)
def test_its_sampler_is_derived(likelihood: dict[str, object], encoding: str) -> None:
    data = DataSpec(kind="audio", levels=likelihood["levels"], sample_rate=8000)  # type: ignore[arg-type]
    net = network("causal-conv", data, likelihood, LABEL, encoding=encoding, **SIZES)
    assert derive(net, (LABEL,)).site_steps


def test_what_it_cannot_model_is_said() -> None:
    with pytest.raises(ValueError, match="labels"):
        network("causal-conv", AUDIO, TRITS, SERIES, **SIZES)
    with pytest.raises(ValueError, match="sequences"):
        network("causal-conv", DataSpec("image", (1, 2, 2), 3), TRITS, **SIZES)
