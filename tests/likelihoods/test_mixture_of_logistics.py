from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy import special, stats
from tests.likelihoods.checks import assert_frequencies, noise

from ancestral.likelihoods import MixtureOfLogistics

Array = npt.NDArray[np.float64]


def random_params(rows: int, components: int) -> Array:
    rng = np.random.default_rng(2)
    parts = (
        rng.normal(0, 1, (rows, components)),
        rng.uniform(-1.2, 1.2, (rows, components)),
        rng.uniform(-6, 0, (rows, components)),
    )
    return np.concatenate(parts, -1)


def log_probabilities(params: Array, levels: int) -> Array:
    """Nats [levels] of one vector, by scipy; each bin from the tail in which it lies."""
    logits, means, log_scales = np.split(params, 3)
    centres = np.linspace(-1, 1, levels)
    edges = np.concatenate(([-np.inf], centres[:-1] + 1 / (levels - 1), [np.inf]))
    each = []
    for mean, log_scale in zip(means, log_scales, strict=True):
        law = stats.logistic(mean, np.exp(log_scale))
        cdf, survival = law.logcdf(edges), law.logsf(edges)
        with np.errstate(divide="ignore", invalid="ignore"):
            left = cdf[1:] + np.log1p(-np.exp(cdf[:-1] - cdf[1:]))
            right = survival[:-1] + np.log1p(-np.exp(survival[1:] - survival[:-1]))
        each.append(np.where(centres < mean, left, right))
    weighted = special.log_softmax(logits)[:, None] + np.array(each)
    found: Array = special.logsumexp(weighted, axis=0)
    return found


def scored(params: Array, levels: int, dtype: torch.dtype) -> torch.Tensor:
    vectors = torch.from_numpy(params).to(dtype).expand(levels, -1)
    likelihood = MixtureOfLogistics(len(params) // 3, levels)
    return likelihood.log_prob(vectors, torch.arange(levels))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("levels", [2, 256, 65536])
def test_log_prob_equals_scipy_and_sums_to_one(dtype: torch.dtype, levels: int) -> None:
    for params in random_params(4, 10):
        found = scored(params, levels, dtype)
        assert found.dtype == dtype
        tolerance = 2e-4 if dtype == torch.float32 else 1e-9
        np.testing.assert_allclose(
            found, log_probabilities(params, levels), atol=tolerance, rtol=tolerance
        )
        assert found.double().exp().sum().item() == pytest.approx(
            1, abs=1e-5 if dtype == torch.float32 else 1e-12
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tails_far_from_a_narrow_component(dtype: torch.dtype) -> None:
    """The closed form of a tail: log P(k) = -(distance to the nearer edge)/s + log(1 - e^-δ)."""
    levels, scale = 256, np.exp(-9.0)
    found = scored(np.array([0.0, 0.2, -9.0]), levels, dtype)
    width = 2 / (levels - 1)
    for code in (1, 50, 200, 254):
        distance = abs(-1 + code * width - 0.2) - width / 2
        expected = -distance / scale + np.log1p(-np.exp(-width / scale))
        assert found[code].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("log_scale", [-1e4, -40.0, 30.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_scales_give_numbers_and_gradients(log_scale: float, dtype: torch.dtype) -> None:
    params = torch.tensor([[0.3, 1 / 255, log_scale]], dtype=dtype).expand(256, 3)
    params = params.clone().requires_grad_()
    found = MixtureOfLogistics(1, 256).log_prob(params, torch.arange(256))
    assert torch.isfinite(found).all()
    assert found.exp().sum().item() == pytest.approx(1, abs=1e-5)
    found.sum().backward()
    assert params.grad is not None
    assert torch.isfinite(params.grad).all()


def test_gradients_equal_finite_differences() -> None:
    params = torch.from_numpy(random_params(12, 3)).requires_grad_()
    codes = torch.tensor([0, 255, 1, 254, 3, 77, 128, 200, 31, 90, 0, 255])
    likelihood = MixtureOfLogistics(3, 256)
    assert torch.autograd.gradcheck(lambda p: likelihood.log_prob(p, codes), params)


@pytest.mark.parametrize("temperature", [1.0, 0.5, 1.7])
@pytest.mark.parametrize("levels", [16, 256])
def test_frequencies(levels: int, temperature: float) -> None:
    params = random_params(1, 4)[0]
    vectors = torch.from_numpy(params).expand(40_000, 1, 12)
    codes = MixtureOfLogistics(4, levels).sample(vectors, noise(40_000, 1), temperature=temperature)
    tempered = params.copy()
    tempered[:4] /= temperature
    tempered[8:] += np.log(temperature)
    assert codes.dtype == torch.int64
    assert_frequencies(codes[:, 0], np.exp(log_probabilities(tempered, levels)))


def test_a_sample_is_the_first_code_whose_cdf_reaches_its_uniform() -> None:
    """The inverse CDF of the discretised distribution itself, out to the least u."""
    params = np.array([0.0, -0.1, -1.5])
    cdf = np.exp(log_probabilities(params, 256)).cumsum()
    u = np.concatenate(([2.0**-33, 1 - 2.0**-33], np.random.default_rng(2).uniform(0, 1, 5000)))
    vectors = torch.from_numpy(params).expand(len(u), 3)
    both = torch.from_numpy(np.stack((np.full_like(u, 0.5), u), -1))
    found = MixtureOfLogistics(1, 256).sample(vectors, both)
    assert (found.numpy() == np.searchsorted(cdf[:-1], u)).all()


def test_temperature_zero_is_the_code_at_the_likeliest_mean() -> None:
    params = torch.tensor([[0.0, 1.0, 0.9, -0.5, 0.0, 0.0], [2.0, 1.0, 7.0, 0.0, 0.0, 0.0]])
    codes = MixtureOfLogistics(2, 5).sample(params, torch.full((2, 2), 0.01), temperature=0)
    assert codes.tolist() == [1, 4]


@pytest.mark.parametrize("cut", [{"top_k": 1}, {"top_p": 0.5}])
def test_cuts_are_refused(cut: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="mixture-of-logistics"):
        MixtureOfLogistics(1, 256).sample(torch.zeros(1, 3), torch.full((1, 2), 0.5), **cut)


@pytest.mark.parametrize("counts", [(0, 256), (1, 1), (1.5, 256)])
def test_counts_are_checked(counts: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="must be an integer"):
        MixtureOfLogistics(*counts)
