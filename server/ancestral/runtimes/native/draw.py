"""Values by inverse CDF and their log-probabilities, in float64 whatever the params are.

One compiled twin per kind of `ancestral.likelihoods`, to which its meaning and sources belong.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from ancestral.likelihoods import Likelihood
from ancestral.runtimes.native.blocks import MASSES
from ancestral.runtimes.native.lanes import call_kernel
from ancestral.runtimes.native.memory import load
from ancestral.runtimes.native.quantile import ndtri

(BERNOULLI, CATEGORICAL, LOGISTICS, GAUSSIAN, GAUSSIANS, DISCRETIZED) = range(6)
KINDS = {
    "bernoulli": BERNOULLI,
    "categorical": CATEGORICAL,
    "mixture-of-logistics": LOGISTICS,
    "gaussian": GAUSSIAN,
    "mixture-of-gaussians": GAUSSIANS,
    "discretized-logistic-mixture": DISCRETIZED,
}
KIND, LEVELS, COMPONENTS, SIZE = range(4)
_MIN_LOG_SCALE = -32.0  # as in likelihoods.mixture_of_logistics
_MIN_PIXEL_LOG_SCALE = -7.0  # as in likelihoods.discretized_logistic_mixture


def describe(likelihood: Likelihood) -> list[int]:
    """The likelihood as integers: kind, levels, components, params of a vector."""
    return [
        KINDS[likelihood.name],
        int(getattr(likelihood, "levels", 2)),
        int(getattr(likelihood, "components", 1)),
        likelihood.n_params,
    ]


# the scratch of a draw, float64: three numbers, then the masses
TEMPERATURE, LARGEST, TOTAL, FIRST = 0, 1, 2, 8


@njit
def _masses(kernel, params, count, temperature, scratch):
    """exp((l − max) / temperature) into scratch[FIRST:], the maximum and the sum before it."""
    scratch[TEMPERATURE] = temperature
    at = scratch.ctypes.data
    call_kernel(
        kernel, MASSES, params, count, at + 8 * FIRST, at, at + 8 * LARGEST, at + 8 * TOTAL,
        0, 0, 0, 0,
    )  # fmt: skip


@njit
def _mode(like, params, count):
    """The first place of the largest logit."""
    best, mode = load(like, params, 0), 0
    for i in range(1, count):
        value = load(like, params, i)
        if value > best:
            best, mode = value, i
    return mode


@njit
def _ranked(masses, count):
    """Places in order of descending mass, equal ones in ascending order: a merge sort."""
    order, other = np.empty(count, np.int64), np.empty(count, np.int64)
    for i in range(count):
        order[i] = i
    width = 1
    while width < count:
        for first in range(0, count, 2 * width):
            middle, last = min(first + width, count), min(first + 2 * width, count)
            a, b = first, middle
            for k in range(first, last):
                if a < middle and (
                    b >= last or masses[FIRST + order[a]] >= masses[FIRST + order[b]]
                ):
                    other[k] = order[a]
                    a += 1
                else:
                    other[k] = order[b]
                    b += 1
        order, other = other, order
        width *= 2
    return order


@njit
def _cut(masses, count, top_k, top_p):
    """Zero what lies outside the top_k likeliest (0: all) and the nucleus of top_p (2: all)."""
    ranked = _ranked(masses, count)
    whole = 0.0
    kept = count if top_k == 0 else min(top_k, count)
    for i in range(kept):
        whole += masses[FIRST + ranked[i]]
    mass = 0.0
    for i in range(count):
        if i >= kept or (i > 0 and mass >= top_p * whole):
            masses[FIRST + ranked[i]] = 0.0
            kept = min(kept, i)
        mass += masses[FIRST + ranked[i]]
    masses[TOTAL] = mass


@njit
def _choose(masses, count, u):
    """The first category at which the cumulated mass exceeds u of the whole."""
    target, mass, i = u * masses[TOTAL], 0.0, 0
    while i + 8 <= count:  # blocks whose end does not reach the target are passed over
        a = masses[FIRST + i] + masses[FIRST + i + 1]
        b = masses[FIRST + i + 2] + masses[FIRST + i + 3]
        c = masses[FIRST + i + 4] + masses[FIRST + i + 5]
        d = masses[FIRST + i + 6] + masses[FIRST + i + 7]
        end = mass + ((a + b) + (c + d))
        if end > target:
            break
        mass = end
        i += 8
    while i < count:
        mass += masses[FIRST + i]
        if mass > target:
            return i
        i += 1
    return count - 1


@njit
def choose(like, kernel, params, count, u, temperature, top_k, top_p, scratch):
    """A category of logits: the mode at temperature 0."""
    if temperature == 0:
        return _mode(like, params, count)
    _masses(kernel, params, count, temperature, scratch)
    if top_k > 0 or top_p <= 1:
        _cut(scratch, count, top_k, top_p)
    return _choose(scratch, count, u)


@njit
def categorical(like, kernel, params, count, u, temperature, top_k, top_p, value, fixed, scratch):
    """A category, or `value` where it is `fixed`, and its nats; the masses are computed once."""
    plain = temperature == 1 and top_k == 0 and top_p > 1
    if not fixed and not plain:
        value = float(choose(like, kernel, params, count, u, temperature, top_k, top_p, scratch))
    total = _log_total(kernel, params, count, scratch)
    if not fixed and plain:
        value = float(_choose(scratch, count, u))
    return value, float(load(like, params, int(value))) - total


@njit
def _log_total(kernel, params, count, scratch):
    """log Σ exp of logits."""
    _masses(kernel, params, count, 1.0, scratch)
    return scratch[LARGEST] + math.log(scratch[TOTAL])


@njit
def _log_sigmoid(x):
    return min(x, 0.0) - math.log1p(math.exp(-abs(x)))


@njit
def _bin_log_prob(code, mean, log_scale, levels):
    """See likelihoods.logistic.bin_log_prob."""
    step = (2.0 / (levels - 1)) * math.exp(-log_scale)
    offset = code - (mean + 1) * ((levels - 1) / 2)
    below, above = _log_sigmoid((offset + 0.5) * step), _log_sigmoid((0.5 - offset) * step)
    if code <= 0:
        return below
    if code >= levels - 1:
        return above
    return below + above + math.log(-math.expm1(-step))


@njit
def _nearest_code(value, levels):
    steps = math.floor((value + 1) * ((levels - 1) / 2) + 0.5)
    return min(max(steps, 0.0), levels - 1.0)


@njit
def _logit(u):
    return math.log(u) - math.log1p(-u)


@njit
def sample(like, kernel, config, params, u, v, temperature, scratch):
    """One value from one parameter vector; u chooses the category or component, v the value."""
    kind, levels, m = config[KIND], config[LEVELS], config[COMPONENTS]
    if kind == BERNOULLI:
        logit = float(load(like, params, 0))
        if temperature == 0:
            return 1.0 if logit > 0 else 0.0
        return 1.0 if u >= 1 / (1 + math.exp(logit / temperature)) else 0.0
    if kind == GAUSSIAN:
        mean, log_scale = float(load(like, params, 0)), float(load(like, params, 1))
        return mean + math.exp(log_scale) * temperature * ndtri(v)
    chosen = choose(like, kernel, params, m, u, temperature, 0, 2.0, scratch)
    mean, log_scale = (
        float(load(like, params, m + chosen)),
        float(load(like, params, 2 * m + chosen)),
    )
    if kind == GAUSSIANS:
        return mean + math.exp(log_scale) * temperature * ndtri(v)
    away = math.exp(max(log_scale, _MIN_LOG_SCALE)) * temperature * _logit(v)
    return _nearest_code(mean + away, levels)


@njit
def log_prob(like, kernel, config, params, value, scratch):
    """Nats of a value under one parameter vector."""
    kind, levels, m = config[KIND], config[LEVELS], config[COMPONENTS]
    if kind == BERNOULLI:
        logit = float(load(like, params, 0))
        return _log_sigmoid(logit if value > 0 else -logit)
    if kind == GAUSSIAN:
        return _log_density(value, float(load(like, params, 0)), float(load(like, params, 1)))
    total = _log_total(kernel, params, m, scratch)
    for i in range(m):
        mean, log_scale = float(load(like, params, m + i)), float(load(like, params, 2 * m + i))
        if kind == GAUSSIANS:
            each = _log_density(value, mean, log_scale)
        else:
            each = _bin_log_prob(value, mean, max(log_scale, _MIN_LOG_SCALE), levels)
        scratch[i] = float(load(like, params, i)) - total + each
    return _log_sum(scratch, m)


@njit
def _log_sum(values, count):
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
def _log_density(x, mean, log_scale):
    standard = (x - mean) * math.exp(-log_scale)
    return -0.5 * standard * standard - log_scale - 0.5 * math.log(2 * math.pi)


@njit
def _pixel_mean(like, params, m, i, channel, channels, values, levels):
    """The mean of a channel's component, moved by the channels before it."""
    block = m + channel * m * (3 if channels == 3 else 2)
    mean = float(load(like, params, block + i))
    step = 2.0 / (levels - 1)
    # coefficient c is channel c's third block of m numbers
    if channel == 1:
        c0 = math.tanh(float(load(like, params, m + 2 * m + i)))
        mean += c0 * (values[0] * step - 1)
    elif channel == 2:
        c1 = math.tanh(float(load(like, params, m + 3 * m + 2 * m + i)))
        c2 = math.tanh(float(load(like, params, m + 6 * m + 2 * m + i)))
        mean += c1 * (values[0] * step - 1) + c2 * (values[1] * step - 1)
    return mean


@njit
def _pixel_log_scale(like, params, m, i, channel, channels):
    block = m + channel * m * (3 if channels == 3 else 2)
    return max(float(load(like, params, block + m + i)), _MIN_PIXEL_LOG_SCALE)


@njit
def sample_pixel(like, kernel, config, params, channels, noise, temperature, values, scratch):
    """All channels of a discretised logistic mixture; `noise` [channels, 2]."""
    levels, m = config[LEVELS], config[COMPONENTS]
    i = choose(like, kernel, params, m, noise[0, 0], temperature, 0, 2.0, scratch)
    for channel in range(channels):
        mean = _pixel_mean(like, params, m, i, channel, channels, values, levels)
        scale = math.exp(_pixel_log_scale(like, params, m, i, channel, channels)) * temperature
        values[channel] = _nearest_code(mean + scale * _logit(noise[channel, 1]), levels)


@njit
def log_prob_pixel(like, kernel, config, params, channels, values, nats, scratch):
    """nats [channels]: log p(x_c | x_1 … x_c-1), the component summed out."""
    levels, m = config[LEVELS], config[COMPONENTS]
    total = _log_total(kernel, params, m, scratch)
    for i in range(m):
        scratch[i] = float(load(like, params, i)) - total
    before = 0.0
    for channel in range(channels):
        for i in range(m):
            mean = _pixel_mean(like, params, m, i, channel, channels, values, levels)
            log_scale = _pixel_log_scale(like, params, m, i, channel, channels)
            scratch[i] += _bin_log_prob(values[channel], mean, log_scale, levels)
        so_far = _log_sum(scratch, m)
        nats[channel] = so_far - before
        before = so_far
