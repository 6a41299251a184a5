"""Straight lines, whose positions are tensors, beside the reference runtime's steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.causal import drawn
from tests.invariants.test_every_family import CASES, SITES, built

from ancestral.compile import StepProgram
from ancestral.likelihoods import from_config
from ancestral.runtimes.derive import derive
from ancestral.runtimes.reference import Batch, ReferenceRuntime
from ancestral.runtimes.straight.batch import StraightBatch

QUICK = ["wavenet", "sparse-transformer", "nade"]
LONGER = ["char-rnn", "distaug", "gated-pixelcnn", "image-transformer", "pixelsnail", "rnade",
          "wavernn"]  # fmt: skip
FAMILIES = [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in LONGER)]


class StraightRuntime(ReferenceRuntime):
    def _new_batch(self, slots: int) -> Batch:
        codes = torch.int64 if self._likelihood.discrete else self._dtype
        assert isinstance(self.program, StepProgram)
        return StraightBatch(self.program, slots, self._dtype, self._device, codes)


def conditions(name: str, net: Any, sites: int) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    return tuple(
        torch.tensor([1])
        if spec.kind == "label"
        else torch.randn(
            1, spec.channels or 1, *(net.data.shape[1:] if spec.kind == "plane" else [sites]),
            generator=generator, dtype=torch.float64,
        )
        for spec in CASES[name][3]
    )  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES)
def test_values_are_the_references(name: str) -> None:
    net = built(name)
    sites = net.data.sites() if net.data.shape else SITES
    given = conditions(name, net, sites)
    program = derive(net, CASES[name][3])
    slow = drawn(ReferenceRuntime(program, net, 2), sites, range(3), conditions=given)
    fast = drawn(
        StraightRuntime(program, net, 2), sites, range(3), conditions=given, staggered=True
    )
    for item, values in slow.items():
        if net.likelihood.discrete:
            np.testing.assert_array_equal(fast[item], values)
        else:
            np.testing.assert_allclose(fast[item], values, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("config", "dims"),
    [
        ({"kind": "categorical", "levels": 7}, 2),
        ({"kind": "bernoulli"}, 2),
        ({"kind": "gaussian"}, 2),
        ({"kind": "mixture-of-gaussians", "components": 3}, 2),
        ({"kind": "mixture-of-logistics", "components": 3, "levels": 9}, 2),
        (
            {
                "kind": "discretized-logistic-mixture",
                "components": 3,
                "channels": 3,
                "levels": 9,
            },
            3,
        ),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)
def test_each_slot_has_its_own_temperature_and_cuts(config: dict[str, Any], dims: int) -> None:
    """Tensors of settings draw what the settings draw one by one."""
    likelihood = from_config(config)
    generator = torch.Generator().manual_seed(0)
    n, vectors = 32, 1 if likelihood.joint else dims
    params = torch.randn(n, vectors, likelihood.n_params, generator=generator)
    u = torch.rand(n, dims, 2, generator=generator, dtype=torch.float64)
    heat = torch.tensor([0.0, 0.5, 1.0, 3.0] * 8, dtype=torch.float64)[:, None]
    cuts: list[dict[str, Any]] = [{}]
    if config["kind"] == "categorical":
        cuts.append({"top_k": torch.tensor([1, 3, 7, 7] * 8)[:, None]})
        cuts.append({"top_p": torch.tensor([0.3, 0.5, 0.9, 2.0] * 8)[:, None], **cuts[1]})
    for cut in cuts:
        found = likelihood.sample(params, u, temperature=heat, **cut)
        each = [
            likelihood.sample(
                params[i : i + 1], u[i : i + 1], temperature=float(heat[i]),
                **{k: min(v[i].item(), 7 if k == "top_k" else 1) for k, v in cut.items()},
            )
            for i in range(n)
        ]  # fmt: skip
        torch.testing.assert_close(found, torch.cat(each))
