"""Values by inverse CDF and their log-probabilities, in float64 whatever the params are.

One compiled twin per kind of `ancestral.likelihoods`, to which its meaning and sources belong.
"""

from __future__ import annotations

import math

from numba import njit

from ancestral.likelihoods import Likelihood
from ancestral.runtimes.native.code.categories import choose, log_total
from ancestral.runtimes.native.code.densities import (
    bin_log_prob,
    log_density,
    log_sigmoid,
    log_sum,
    logit_of,
    nearest_code,
)
from ancestral.runtimes.native.code.memory import load
from ancestral.runtimes.native.code.quantile import ndtri

(BERNOULLI, CATEGORICAL, LOGISTICS, GAUSSIAN, GAUSSIANS, DISCRETIZED) = range(6)
KINDS = {
    "bernoulli": BERNOULLI,
    "categorical": CATEGORICAL,
    "mixture-of-logistics": LOGISTICS,
    "gaussian": GAUSSIAN,
    "mixture-of-gaussians": GAUSSIANS,
    "discretized-logistic-mixture": DISCRETIZED,
}
# how values are drawn: of the likelihood, vectors of a site, channels, all drawn together
KIND, LEVELS, COMPONENTS, SIZE, VECTORS, CHANNELS, JOINT = range(7)
_MIN_LOG_SCALE = -32.0  # as in likelihoods.mixture_of_logistics


def describe(likelihood: Likelihood) -> list[int]:
    """The likelihood as integers: kind, levels, components, params of a vector."""
    return [
        KINDS[likelihood.name],
        int(getattr(likelihood, "levels", 2)),
        int(getattr(likelihood, "components", 1)),
        likelihood.n_params,
    ]


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
    away = math.exp(max(log_scale, _MIN_LOG_SCALE)) * temperature * logit_of(v)
    return nearest_code(mean + away, levels)


@njit
def log_prob(like, kernel, config, params, value, scratch):
    """Nats of a value under one parameter vector."""
    kind, levels, m = config[KIND], config[LEVELS], config[COMPONENTS]
    if kind == BERNOULLI:
        logit = float(load(like, params, 0))
        return log_sigmoid(logit if value > 0 else -logit)
    if kind == GAUSSIAN:
        return log_density(value, float(load(like, params, 0)), float(load(like, params, 1)))
    total = log_total(kernel, params, m, scratch)
    for i in range(m):
        mean, log_scale = float(load(like, params, m + i)), float(load(like, params, 2 * m + i))
        if kind == GAUSSIANS:
            each = log_density(value, mean, log_scale)
        else:
            each = bin_log_prob(value, mean, max(log_scale, _MIN_LOG_SCALE), levels)
        scratch[i] = float(load(like, params, i)) - total + each
    return log_sum(scratch, m)
