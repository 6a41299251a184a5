from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy import special, stats
from tests.likelihoods.checks import assert_frequencies, noise

from ancestral.likelihoods import DiscretizedLogisticMixture, MixtureOfLogistics

Array = npt.NDArray[np.float64]
M = 4


def random_params(rows: int) -> Array:
    """[rows, 10M] in the order of PixelCNN++'s published code."""
    rng = np.random.default_rng(4)
    per_channel = [
        (rng.uniform(-1, 1, (rows, M)), rng.uniform(-5, 0, (rows, M)), rng.normal(0, 1, (rows, M)))
        for _ in range(3)
    ]
    parts = [rng.normal(0, 1, (rows, M))]
    return np.concatenate(parts + [part for channel in per_channel for part in channel], -1)


def bin_probability(code: int, mean: float, log_scale: float, levels: int) -> float:
    law = stats.logistic(mean, np.exp(max(log_scale, -7)))
    centre, half = 2 * code / (levels - 1) - 1, 1 / (levels - 1)
    low = -np.inf if code == 0 else centre - half
    high = np.inf if code == levels - 1 else centre + half
    if centre > mean:  # from the nearer tail, lest the difference cancel
        return float(law.sf(low) - law.sf(high))
    return float(law.cdf(high) - law.cdf(low))


def joint_probability(params: Array, pixel: tuple[int, ...], levels: int) -> Array:
    """P(the first channels), [C]: the paper's formula, component by component (numpy, scipy)."""
    weights = special.softmax(params[:M])
    each = params[M:].reshape(3, 3, M)  # channel; mean, log-scale, coefficient; component
    points = [2 * code / (levels - 1) - 1 for code in pixel]
    total = np.zeros(3)
    for m in range(M):
        alpha, beta, gamma = np.tanh(each[:, 2, m])
        means = (
            each[0, 0, m],
            each[1, 0, m] + alpha * points[0],
            each[2, 0, m] + beta * points[0] + gamma * points[1],
        )
        product = weights[m]
        for channel in range(3):
            product *= bin_probability(pixel[channel], means[channel], each[channel, 1, m], levels)
            total[channel] += product
    return total


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_parts_equal_the_papers_formula(dtype: torch.dtype) -> None:
    params = random_params(40)
    likelihood = DiscretizedLogisticMixture(M, 3, 256)
    pixels = likelihood.sample(torch.from_numpy(params)[:, None], noise(40, 3))
    pixels[:4] = torch.tensor([[0, 0, 0], [255, 255, 255], [0, 255, 0], [255, 0, 255]])
    found = likelihood.log_prob(torch.from_numpy(params).to(dtype)[:, None], pixels)
    assert found.dtype == dtype
    for i, row in enumerate(params):
        joint = np.log(joint_probability(row, tuple(pixels[i].tolist()), 256))
        expected = np.diff(joint, prepend=0)
        tolerance = 1e-3 if dtype == torch.float32 else 1e-7
        np.testing.assert_allclose(found[i], expected, atol=tolerance)


def test_all_pixels_of_few_levels_sum_to_one() -> None:
    levels = 6
    pixels = torch.tensor(list(itertools.product(range(levels), repeat=3)))
    for row in random_params(5):
        params = torch.from_numpy(row).expand(len(pixels), 1, 10 * M)
        nats = DiscretizedLogisticMixture(M, 3, levels).log_prob(params, pixels)
        assert nats.sum(-1).exp().sum().item() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_each_channel_sums_to_one_over_256_values_given_those_before(dtype: torch.dtype) -> None:
    likelihood = DiscretizedLogisticMixture(M, 3, 256)
    for row in random_params(5):
        params = torch.from_numpy(row).to(dtype).expand(256, 1, 10 * M)
        for channel in range(3):
            pixels = torch.tensor([40, 200, 90]).repeat(256, 1)
            pixels[:, channel] = torch.arange(256)
            nats = likelihood.log_prob(params, pixels)[:, channel]
            tolerance = 2e-5 if dtype == torch.float32 else 1e-12
            assert nats.double().exp().sum().item() == pytest.approx(1, abs=tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tails_are_exact_where_cdfs_cancel(dtype: torch.dtype) -> None:
    """One component at log-scale -7 (or below: clamped), far away: the closed form of a tail."""
    params = torch.tensor([[0.0, 0.9, -12.0]], dtype=dtype)
    found = DiscretizedLogisticMixture(1, 1, 256).log_prob(params, torch.tensor([20])).item()
    distance, width, scale = 0.9 - (2 * 20 / 255 - 1) - 1 / 255, 2 / 255, np.exp(-7)
    expected = -distance / scale + np.log1p(-np.exp(-width / scale))
    assert found == pytest.approx(expected, rel=1e-5)


def test_one_channel_is_a_mixture_of_logistics() -> None:
    params = torch.from_numpy(random_params(256)[:, : 3 * M])
    codes = torch.arange(256)[:, None]
    found = DiscretizedLogisticMixture(M, 1, 256).log_prob(params[:, None], codes)
    expected = MixtureOfLogistics(M, 256).log_prob(params[:, None], codes)
    assert torch.allclose(found, expected, rtol=1e-12)
    u = noise(256, 1)
    drawn = DiscretizedLogisticMixture(M, 1, 256).sample(params[:, None], u)
    assert (drawn == MixtureOfLogistics(M, 256).sample(params[:, None], u)).all()


@pytest.mark.parametrize("temperature", [1.0, 0.6, 1.5])
def test_frequencies_of_pixels(temperature: float) -> None:
    levels, row = 5, random_params(1)[0]
    params = torch.from_numpy(row).expand(40_000, 1, 10 * M)
    drawn = DiscretizedLogisticMixture(M, 3, levels).sample(
        params, noise(40_000, 3), temperature=temperature
    )
    tempered = row.copy()
    tempered[:M] /= temperature
    tempered[M:].reshape(3, 3, M)[:, 1] += np.log(temperature)
    every = itertools.product(range(levels), repeat=3)
    probabilities = np.array([joint_probability(tempered, pixel, levels)[-1] for pixel in every])
    assert drawn.dtype == torch.int64
    index = (drawn * torch.tensor([levels**2, levels, 1])).sum(-1)
    assert_frequencies(index, probabilities)


def test_frequencies_of_256_values() -> None:
    likelihood = DiscretizedLogisticMixture(M, 3, 256)
    row = random_params(1)[0]
    drawn = likelihood.sample(torch.from_numpy(row).expand(40_000, 1, 10 * M), noise(40_000, 3))
    red = [joint_probability(row, (code, 0, 0), 256)[0] for code in range(256)]
    assert_frequencies(drawn[:, 0], np.array(red))


def test_the_component_comes_of_the_first_dimension_alone() -> None:
    """Words 0 of green and blue, and the values of later channels, change nothing before them."""
    likelihood = DiscretizedLogisticMixture(M, 3, 256)
    params, u = torch.from_numpy(random_params(64))[:, None], noise(64, 3)
    drawn = likelihood.sample(params, u)
    other = u.clone()
    other[:, 1:, 0] = 1 - other[:, 1:, 0]
    assert (likelihood.sample(params, other) == drawn).all()
    other[:, 2, 1] = 1 - other[:, 2, 1]
    assert (likelihood.sample(params, other)[:, :2] == drawn[:, :2]).all()


def test_temperature_zero_follows_the_likeliest_component() -> None:
    row = random_params(1)[0]
    component = row[:M].argmax()
    each = row[M:].reshape(3, 3, M)[:, :, component]
    alpha, beta, gamma = np.tanh(each[:, 2])

    def nearest(mean: float) -> int:
        return int(np.clip(np.round((mean + 1) * 127.5), 0, 255))

    red = nearest(each[0, 0])
    green = nearest(each[1, 0] + alpha * (red / 127.5 - 1))
    blue = nearest(each[2, 0] + beta * (red / 127.5 - 1) + gamma * (green / 127.5 - 1))
    likelihood = DiscretizedLogisticMixture(M, 3, 256)
    drawn = likelihood.sample(torch.from_numpy(row)[None], noise(1, 3)[0], temperature=0)
    assert drawn.tolist() == [red, green, blue]


def test_gradients_equal_finite_differences() -> None:
    params = torch.from_numpy(random_params(6))[:, None].requires_grad_()
    pixels = torch.from_numpy(np.random.default_rng(4).integers(0, 256, (6, 3)))
    pixels[0] = torch.tensor([0, 255, 0])
    likelihood = DiscretizedLogisticMixture(M, 3, 256)
    assert torch.autograd.gradcheck(lambda p: likelihood.log_prob(p, pixels), params)


def test_leading_axes_are_free() -> None:
    likelihood = DiscretizedLogisticMixture(M, 3, 256)
    params, u = torch.from_numpy(random_params(12))[:, None], noise(12, 3)
    drawn = likelihood.sample(params, u)
    folded = params.reshape(2, 3, 2, 1, -1)
    assert (likelihood.sample(folded, u.reshape(2, 3, 2, 3, 2)).reshape(12, 3) == drawn).all()
    nats = likelihood.log_prob(folded, drawn.reshape(2, 3, 2, 3)).reshape(12, 3)
    assert torch.equal(nats, likelihood.log_prob(params, drawn))


@pytest.mark.parametrize("cut", [{"top_k": 1}, {"top_p": 0.5}])
def test_cuts_are_refused(cut: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="discretized-logistic-mixture"):
        DiscretizedLogisticMixture(1, 1, 256).sample(torch.zeros(1, 3), noise(1, 1)[0], **cut)


@pytest.mark.parametrize("counts", [(0, 3, 256), (1, 2, 256), (1, 4, 256), (1, 3, 1)])
def test_counts_are_checked(counts: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        DiscretizedLogisticMixture(*counts)
