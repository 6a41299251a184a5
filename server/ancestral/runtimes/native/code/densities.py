"""Probabilities of single components, in float64; see `ancestral.likelihoods`."""

from __future__ import annotations

import math

from numba import njit


@njit
def log_sigmoid(x):
    return min(x, 0.0) - math.log1p(math.exp(-abs(x)))


@njit
def bin_log_prob(code, mean, log_scale, levels):
    """See likelihoods.logistic.bin_log_prob."""
    step = (2.0 / (levels - 1)) * math.exp(-log_scale)
    offset = code - (mean + 1) * ((levels - 1) / 2)
    below, above = log_sigmoid((offset + 0.5) * step), log_sigmoid((0.5 - offset) * step)
    if code <= 0:
        return below
    if code >= levels - 1:
        return above
    return below + above + math.log(-math.expm1(-step))


@njit
def nearest_code(value, levels):
    steps = math.floor((value + 1) * ((levels - 1) / 2) + 0.5)
    return min(max(steps, 0.0), levels - 1.0)


@njit
def logit_of(u):
    return math.log(u) - math.log1p(-u)


@njit
def log_sum(values, count):
    best = values[0]
    for i in range(1, count):
        best = max(best, values[i])
    if best == -math.inf:
        return best
    total = 0.0
    for i in range(count):
        total += math.exp(values[i] - best)
    return best + math.log(total)


@njit
def log_density(x, mean, log_scale):
    standard = (x - mean) * math.exp(-log_scale)
    return -0.5 * standard * standard - log_scale - 0.5 * math.log(2 * math.pi)
