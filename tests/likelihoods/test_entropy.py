from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch

from ancestral import likelihoods
from ancestral.likelihoods.entropy import entropy


def of(kind: str, **fields: int) -> likelihoods.Likelihood:
    return likelihoods.from_config({"kind": kind, **fields})


def test_codes_against_scipy() -> None:
    logits = torch.randn(5, 1, 7, generator=torch.Generator().manual_seed(0)).double()
    x = torch.zeros(5, 1, dtype=torch.int64)
    expected = scipy.stats.entropy(logits.softmax(-1).numpy(), axis=-1)
    np.testing.assert_allclose(entropy(of("categorical", levels=7), logits, x, 7), expected)
    p = torch.sigmoid(logits[..., 0]).numpy()
    bits = entropy(of("bernoulli"), logits[..., :1], x, 2)
    np.testing.assert_allclose(bits, scipy.stats.bernoulli(p).entropy())
    impossible = torch.tensor([[[0.0, -torch.inf]]])
    assert entropy(of("categorical", levels=2), impossible, x[:1], 2).item() == 0


def test_colours_given_the_channels_before() -> None:
    """Against the sum over every value of a channel, by the likelihood as it stands."""
    likelihood = of("discretized-logistic-mixture", channels=3, components=2, levels=5)
    params = torch.randn(
        1, likelihood.n_params, generator=torch.Generator().manual_seed(1)
    ).double()
    x = torch.tensor([1, 4, 2])
    found = entropy(likelihood, params, x, 5)
    for channel in range(3):
        every = x.repeat(5, 1)
        every[:, channel] = torch.arange(5)
        p = likelihood.log_prob(params.expand(5, 1, -1), every)[:, channel].exp().numpy()
        assert p.sum() == pytest.approx(1)
        assert found[channel].item() == pytest.approx(scipy.stats.entropy(p))


def test_many_levels_by_quantiles() -> None:
    likelihood = of("mixture-of-logistics", components=2, levels=1000)
    params = torch.tensor([[[0.3, -0.4, -0.5, 0.4, -2.0, -3.0]]]).double()
    codes = torch.arange(1000)[:, None]
    p = likelihood.log_prob(params.expand(1000, 1, -1), codes).exp().numpy()
    found = entropy(likelihood, params, codes[:1], 1000)
    assert found.item() == pytest.approx(scipy.stats.entropy(p.ravel()), rel=0.01)


def test_densities_have_a_differential_entropy() -> None:
    params = torch.tensor([[[1.5, np.log(0.2)]]]).double()
    found = entropy(of("gaussian"), params, torch.zeros(1, 1), None)
    assert found.item() == pytest.approx(scipy.stats.norm(1.5, 0.2).entropy(), abs=0.01)
