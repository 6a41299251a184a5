"""What the likelihoods' tests share: stratified noise and a chi-square test."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from scipy import stats
from torch import Tensor

from ancestral.likelihoods.noise import uniforms


def noise(draws: int, dims: int, seed: int = 3) -> Tensor:
    """u [draws, dims, 2] of one item, as the runtimes draw it."""
    words = uniforms(seed, 0, np.arange(draws)[:, None], np.arange(dims)[None])
    return torch.from_numpy(words[..., :2].copy())


def assert_frequencies(codes: Tensor, probabilities: npt.NDArray[np.float64]) -> None:
    """Codes [draws] agree with the probabilities [K]: chi-square, bins under 5 put together."""
    expected = probabilities * len(codes)
    seen = np.bincount(codes.numpy(), minlength=len(expected)).astype(float)
    assert seen[probabilities == 0].sum() == 0
    common = expected >= 5
    seen = np.append(seen[common], seen[~common].sum())
    expected = np.append(expected[common], expected[~common].sum())
    kept = expected > 0
    statistic = ((seen[kept] - expected[kept]) ** 2 / expected[kept]).sum()
    assert stats.chi2.sf(statistic, max(kept.sum() - 1, 1)) > 1e-4
