"""The discretised logistic mixture of a pixel, its channels drawn together."""

from __future__ import annotations

import math

from numba import njit

from ancestral.runtimes.native.code.categories import choose, log_total
from ancestral.runtimes.native.code.densities import bin_log_prob, log_sum, logit_of, nearest_code
from ancestral.runtimes.native.code.draw import COMPONENTS, LEVELS
from ancestral.runtimes.native.code.memory import load

_MIN_PIXEL_LOG_SCALE = -7.0  # as in likelihoods.discretized_logistic_mixture


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
        values[channel] = nearest_code(mean + scale * logit_of(noise[channel, 1]), levels)


@njit
def log_prob_pixel(like, kernel, config, params, channels, values, nats, scratch):
    """nats [channels]: log p(x_c | x_1 … x_c-1), the component summed out."""
    levels, m = config[LEVELS], config[COMPONENTS]
    total = log_total(kernel, params, m, scratch)
    for i in range(m):
        scratch[i] = float(load(like, params, i)) - total
    before = 0.0
    for channel in range(channels):
        for i in range(m):
            mean = _pixel_mean(like, params, m, i, channel, channels, values, levels)
            log_scale = _pixel_log_scale(like, params, m, i, channel, channels)
            scratch[i] += bin_log_prob(values[channel], mean, log_scale, levels)
        so_far = log_sum(scratch, m)
        nats[channel] = so_far - before
        before = so_far
