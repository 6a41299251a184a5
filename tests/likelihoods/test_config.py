"""Likelihoods by name: from a manifest's object and back."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.likelihoods.checks import noise

from ancestral.likelihoods import KINDS, Likelihood, from_config, to_config

CONFIGS: list[tuple[dict[str, Any], int]] = [
    ({"kind": "bernoulli"}, 1),
    ({"kind": "categorical", "levels": 17}, 17),
    ({"kind": "gaussian"}, 2),
    ({"kind": "mixture-of-gaussians", "components": 4}, 12),
    ({"kind": "mixture-of-logistics", "components": 10, "levels": 65536}, 30),
    (
        {"kind": "discretized-logistic-mixture", "components": 5, "channels": 3, "levels": 256},
        50,
    ),
    (
        {"kind": "discretized-logistic-mixture", "components": 5, "channels": 1, "levels": 256},
        15,
    ),
]


@pytest.mark.parametrize(("config", "n_params"), CONFIGS)
def test_there_and_back(config: dict[str, Any], n_params: int) -> None:
    likelihood = from_config(config)
    assert isinstance(likelihood, Likelihood)
    assert likelihood.n_params == n_params
    assert to_config(likelihood) == config
    assert from_config(to_config(likelihood)) == likelihood


def test_every_kind_is_tried() -> None:
    assert {config["kind"] for config, _ in CONFIGS} == set(KINDS)


@pytest.mark.parametrize(("config", "n_params"), CONFIGS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_drawn_can_be_scored(
    config: dict[str, Any], n_params: int, dtype: torch.dtype
) -> None:
    likelihood = from_config(config)
    dims = config.get("channels", 3)
    vectors = 1 if likelihood.joint else dims
    generator = torch.Generator().manual_seed(0)
    params = torch.randn(50, vectors, n_params, generator=generator, dtype=dtype)
    values = likelihood.sample(params, noise(50, dims))
    assert values.shape == (50, dims)
    assert values.dtype == (torch.int64 if likelihood.discrete else dtype)
    nats = likelihood.log_prob(params, values)
    assert nats.shape == (50, dims)
    assert nats.dtype == dtype
    assert torch.isfinite(nats).all()
    if not likelihood.joint:  # any slice of the dimensions stands alone
        alone = likelihood.sample(params[:, 1:2], noise(50, dims)[:, 1:2])
        assert torch.equal(alone, values[:, 1:2])


@pytest.mark.parametrize("config", [{}, {"kind": "poisson"}, {"kind": "categorical", "levels": 1}])
def test_unknown_kinds_and_numbers_are_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"unknown kind|levels"):
        from_config(config)


def test_unknown_keys_are_refused() -> None:
    with pytest.raises(TypeError):
        from_config({"kind": "gaussian", "levels": 3})
