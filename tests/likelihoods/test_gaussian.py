from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from tests.likelihoods.checks import noise

from ancestral.likelihoods import Gaussian, MixtureOfGaussians

MIXTURE = np.random.default_rng(1).normal(0, 1, (5, 2, 9))  # [B, C, 3M], M = 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_log_prob_equals_scipy(dtype: torch.dtype) -> None:
    rng = np.random.default_rng(2)
    params, x = rng.normal(0, 2, (50, 3, 2)), rng.normal(0, 10, (50, 3))
    found = Gaussian().log_prob(torch.from_numpy(params).to(dtype), torch.from_numpy(x).to(dtype))
    expected = stats.norm.logpdf(x, params[..., 0], np.exp(params[..., 1]))
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=1e-4 if dtype == torch.float32 else 1e-12)


def mixture(params: np.ndarray) -> torch.distributions.MixtureSameFamily:
    logits, means, log_scales = np.split(params, 3, axis=-1)
    return torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(logits=torch.from_numpy(logits)),
        torch.distributions.Normal(torch.from_numpy(means), torch.from_numpy(np.exp(log_scales))),
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("reach", [1.0, 100.0])
def test_mixture_log_prob_equals_torch_distributions(dtype: torch.dtype, reach: float) -> None:
    x = torch.from_numpy(np.random.default_rng(3).normal(0, reach, (5, 2)))
    found = MixtureOfGaussians(3).log_prob(torch.from_numpy(MIXTURE).to(dtype), x.to(dtype))
    tolerance = 1e-4 if dtype == torch.float32 else 1e-12
    np.testing.assert_allclose(found, mixture(MIXTURE).log_prob(x), rtol=tolerance)


def test_mixture_density_integrates_to_one() -> None:
    x = torch.linspace(-60, 60, 120_001, dtype=torch.float64)
    params = torch.from_numpy(MIXTURE[0, :1]).expand(len(x), 9)
    density = MixtureOfGaussians(3).log_prob(params, x).exp()
    assert torch.trapezoid(density, x).item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
def test_samples_are_gaussian(temperature: float) -> None:
    params = torch.tensor([[3.0, -1.0]], dtype=torch.float64).expand(10_000, 1, 2)
    x = Gaussian().sample(params, noise(10_000, 1), temperature=temperature)
    law = stats.norm(3, temperature * np.exp(-1))
    assert stats.kstest(x[:, 0].numpy(), law.cdf).pvalue > 1e-3


def test_a_sample_is_the_quantile_of_its_uniform_out_to_the_least() -> None:
    u = torch.tensor([2**-33, 1e-4, 0.5, 1 - 2**-33], dtype=torch.float64)
    params = torch.tensor([1.0, 0.5], dtype=torch.float64).expand(4, 2)
    found = Gaussian().sample(params, torch.stack((torch.full_like(u, 0.3), u), -1))
    np.testing.assert_allclose(found, stats.norm.ppf(u, 1, np.exp(0.5)), rtol=1e-9)


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_samples_follow_the_mixture(temperature: float) -> None:
    params = torch.from_numpy(MIXTURE[1, :1]).expand(10_000, 1, 9)
    x = MixtureOfGaussians(3).sample(params, noise(10_000, 1), temperature=temperature)
    tempered = MIXTURE[1, 0].copy()
    tempered[:3] /= temperature
    tempered[6:] += np.log(temperature)
    law = mixture(tempered)
    assert stats.kstest(x[:, 0].numpy(), lambda v: law.cdf(torch.from_numpy(v)).numpy()).pvalue > (
        1e-3
    )


def test_temperature_zero_is_the_likeliest_components_mean() -> None:
    u = noise(5, 2)
    found = MixtureOfGaussians(3).sample(torch.from_numpy(MIXTURE), u, temperature=0)
    likeliest = MIXTURE[..., :3].argmax(-1)[..., None]
    expected = np.take_along_axis(MIXTURE[..., 3:6], likeliest, -1)[..., 0]
    assert (found.numpy() == expected).all()
    single = torch.from_numpy(MIXTURE[..., :2].copy())
    assert (Gaussian().sample(single, u, temperature=0) == single[..., 0]).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_have_the_dtype_of_params(dtype: torch.dtype) -> None:
    params = torch.zeros(4, 1, 6, dtype=dtype)
    assert MixtureOfGaussians(2).sample(params, noise(4, 1)).dtype == dtype
    assert Gaussian().sample(params[..., :2], noise(4, 1)).dtype == dtype


@pytest.mark.parametrize("cut", [{"top_k": 1}, {"top_p": 0.5}])
def test_cuts_are_refused(cut: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="does not apply to a gaussian"):
        Gaussian().sample(torch.zeros(1, 2), noise(1, 1)[0], **cut)
    with pytest.raises(ValueError, match="does not apply to a mixture-of-gaussians"):
        MixtureOfGaussians(1).sample(torch.zeros(1, 3), noise(1, 1)[0], **cut)


def test_components_are_checked() -> None:
    with pytest.raises(ValueError, match="components"):
        MixtureOfGaussians(0)
