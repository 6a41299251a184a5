"""Samplers of the convolutional image families: derived, checked, no dearer than a forward pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.causal import drawn
from tests.models.cases import network
from tests.packages import publish

import ancestral
from ancestral.compile import CausalityError, ElementProgram, StepProgram
from ancestral.engine.verify import verify
from ancestral.models import DataSpec, pixelcnn_pp, pixelsnail
from ancestral.runtimes.derive import derive
from ancestral.runtimes.naive import NaiveRuntime
from ancestral.runtimes.reference import ReferenceRuntime

TRITS = {"kind": "categorical", "levels": 3}
MIXTURE = {"kind": "discretized-logistic-mixture", "components": 2, "channels": 3, "levels": 4}
PLAIN = {"channels": 3, "blocks": 1, "first_kernel": 5}
PLUS = {"channels": 3, "layers": 1, "scales": 2}
SNAIL = {"channels": 4, "blocks": 1, "layers": 1, "keys": 4}

CASES: dict[str, tuple[str, tuple[int, int, int], dict[str, Any], dict[str, Any], type]] = {
    "pixelcnn": ("pixelcnn", (3, 3, 4), TRITS, PLAIN, StepProgram),
    "pixelcnn-pp": ("pixelcnn-pp", (3, 3, 4), MIXTURE, PLUS, ElementProgram),
    "pixelsnail": ("pixelsnail", (1, 4, 3), TRITS, SNAIL, StepProgram),
}


@pytest.mark.parametrize("name", CASES)
def test_cached_samples_are_the_naive_ones(name: str) -> None:
    family, shape, likelihood, options, program = CASES[name]
    data = DataSpec("image", shape, likelihood["levels"])
    net = network(family, data, likelihood, **options)
    derived = derive(net)
    assert isinstance(derived, program)
    slow = drawn(NaiveRuntime(net, 2, dtype=torch.float64), data.sites(), range(2))
    fast = drawn(ReferenceRuntime(derived, net, 2), data.sites(), range(2), staggered=True)
    assert all((slow[item] == fast[item]).all() for item in range(2))


@pytest.mark.parametrize("name", CASES)
def test_packages_hold_the_invariants(name: str, tmp_path: Path) -> None:
    """Step parity for at most 1.05 of the arithmetic, one likelihood, independence, seeds."""
    family, (channels, height, width), likelihood, options, _ = CASES[name]
    publish(
        tmp_path,
        "tiny-pixelcnn",
        family=family,
        hyperparameters=options,
        likelihood=likelihood,
        data={"kind": "image", "shape": [channels, height, width], "levels": likelihood["levels"]},
        conditions=[],
    )
    report = verify(ancestral.load("tiny-pixelcnn", root=tmp_path))
    assert [check for check in report.checks if not check.ok] == []


@pytest.mark.parametrize(
    ("family", "module", "options"),
    [("pixelcnn-pp", pixelcnn_pp, PLUS), ("pixelsnail", pixelsnail, SNAIL)],
)
def test_an_unshifted_first_layer_is_refused(
    family: str, module: Any, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "shift_right", lambda x: x)
    net = network(family, DataSpec("image", (1, 3, 4), 3), TRITS, **options)
    with pytest.raises(CausalityError) as error:
        derive(net)
    assert any(
        "first_left" in line or "shift" in line or "conv2d" in line for line in error.value.path
    )


def test_mask_b_in_the_first_layer_is_refused() -> None:
    net = network("pixelcnn", DataSpec("image", (1, 3, 4), 3), TRITS, **PLAIN)
    first: Any = net.module.first
    first.mask[:, :, 2, 2] = 1
    with pytest.raises(CausalityError, match=r"\+0 rows, \+0 columns"):
        derive(net)
