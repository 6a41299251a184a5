from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.likelihoods.checks import assert_frequencies, noise

from ancestral.likelihoods import Bernoulli

LOGITS = torch.tensor([-800.0, -30.0, -1.5, 0.0, 0.3, 40.0, 800.0], dtype=torch.float64)


@pytest.mark.parametrize("bit", [0, 1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_log_prob_equals_torch_distributions(bit: int, dtype: torch.dtype) -> None:
    logits = LOGITS.to(dtype)
    found = Bernoulli().log_prob(logits[:, None], torch.full((7,), bit))
    expected = torch.distributions.Bernoulli(logits=LOGITS).log_prob(torch.tensor(bit).double())
    assert found.dtype == dtype
    assert torch.allclose(found.double(), expected, rtol=1e-6 if dtype == torch.float32 else 1e-12)


def test_the_two_bits_share_the_mass() -> None:
    both = [Bernoulli().log_prob(LOGITS[:, None], torch.full((7,), bit)).exp() for bit in (0, 1)]
    assert torch.allclose(both[0] + both[1], torch.ones(7, dtype=torch.float64), atol=1e-14)


@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
def test_frequencies(temperature: float) -> None:
    params = torch.full((20_000, 1, 1), 0.8)
    codes = Bernoulli().sample(params, noise(20_000, 1), temperature=temperature)
    one = 1 / (1 + np.exp(-0.8 / temperature))
    assert codes.dtype == torch.int64
    assert_frequencies(codes[:, 0], np.array([1 - one, one]))


def test_the_value_is_the_inverse_cdf() -> None:
    params = torch.logit(torch.tensor([[0.25]], dtype=torch.float64))
    for u, code in ((0.74, 0), (0.76, 1)):
        assert Bernoulli().sample(params, torch.tensor([[u, 0.5]]).double()).item() == code


def test_temperature_zero_is_the_mode() -> None:
    codes = Bernoulli().sample(LOGITS[:, None], torch.full((7, 2), 0.99), temperature=0)
    assert codes.tolist() == [0, 0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("cut", [{"top_k": 1}, {"top_p": 0.5}])
def test_cuts_are_refused(cut: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="bernoulli"):
        Bernoulli().sample(LOGITS[:, None], torch.full((7, 2), 0.5), **cut)
