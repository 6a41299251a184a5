"""Normalisations and reductions over one site's payload, each in one fixed order of additions."""

from __future__ import annotations

import math

from numba import njit

from ancestral.runtimes.native.code.blocks import NORM
from ancestral.runtimes.native.code.lanes import LANES, bytes_of, call_kernel
from ancestral.runtimes.native.code.memory import integer, load, store

SUM, MEAN, AMAX, AMIN, PROD, SQUARES, LOGSUMEXP, SOFTMAX, LOG_SOFTMAX = range(9)
REDUCTIONS = {
    "sum": SUM,
    "mean": MEAN,
    "amax": AMAX,
    "amin": AMIN,
    "prod": PROD,
    "squares": SQUARES,  # of the distances from the mean
    "logsumexp": LOGSUMEXP,
    "softmax": SOFTMAX,
    "log-softmax": LOG_SOFTMAX,
}


@njit
def _sum(like, x, count, mean, square):
    """Σ (x − mean), or of its square, in eight interleaved sums: their order is fixed."""
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = like - like
    for i in range(0, count - 7, 8):
        a, b = load(like, x, i) - mean, load(like, x, i + 1) - mean
        c, d = load(like, x, i + 2) - mean, load(like, x, i + 3) - mean
        e, f = load(like, x, i + 4) - mean, load(like, x, i + 5) - mean
        g, h = load(like, x, i + 6) - mean, load(like, x, i + 7) - mean
        if square:
            a, b, c, d, e, f, g, h = a * a, b * b, c * c, d * d, e * e, f * f, g * g, h * h
        s0, s1, s2, s3 = s0 + a, s1 + b, s2 + c, s3 + d
        s4, s5, s6, s7 = s4 + e, s5 + f, s6 + g, s7 + h
    total = ((s0 + s4) + (s1 + s5)) + ((s2 + s6) + (s3 + s7))
    for i in range(count - count % 8, count):
        a = load(like, x, i) - mean
        total += a * a if square else a
    return total


@njit
def norm(like, kernel, x, out, groups, inner, extra):
    """Layer norm of [groups, inner], or root-mean-square norm.

    At `extra`: address of the scale (0: none), of the bias, of eps, and 1 where the mean is kept.
    """
    scale, bias, keep_mean = integer(extra, 0), integer(extra, 1), integer(extra, 3)
    eps = load(like, integer(extra, 2), 0)
    size = like - like + inner
    if groups == 1 or inner % LANES == 0:  # whole vectors, or padding behind them
        for group in range(groups):
            place = group * inner * bytes_of(like)
            call_kernel(
                kernel, NORM, x + place, out + place, inner, scale, bias, integer(extra, 2),
                keep_mean, 0, 0, 0,
            )  # fmt: skip
        return
    for group in range(groups):
        place = group * inner
        start = x + place * (integer(extra, 4))
        mean = like - like
        if not keep_mean:
            mean = _sum(like, start, inner, like - like, False) / size
        variance = _sum(like, start, inner, mean, True) / size
        factor = (like - like + 1) / math.sqrt(variance + eps)
        for i in range(inner):
            value = (load(like, start, i) - mean) * factor
            if scale:
                value *= load(like, scale, i)
            if bias:
                value += load(like, bias, i)
            store(like, out, place + i, value)


@njit
def _reduced_sum(like, x, first, size, stride):
    total = like - like
    for k in range(size):
        total += load(like, x, first + k * stride)
    return total


@njit
def _reduced(like, code, x, first, size, stride):
    """One reduction over `size` elements at distance `stride`."""
    if code == PROD:
        whole = like - like + 1
        for k in range(size):
            whole *= load(like, x, first + k * stride)
        return whole
    if code == SQUARES:
        mean = _reduced_sum(like, x, first, size, stride) / (like - like + size)
        total = like - like
        for k in range(size):
            away = load(like, x, first + k * stride) - mean
            total += away * away
        return total
    best = load(like, x, first)
    for k in range(1, size):
        value = load(like, x, first + k * stride)
        if (value > best) != (code == AMIN):
            best = value
    if code in (AMAX, AMIN):
        return best
    if code <= MEAN:
        total = _reduced_sum(like, x, first, size, stride)
        return total if code == SUM else total / (like - like + size)
    total = like - like
    for k in range(size):
        total += math.exp(load(like, x, first + k * stride) - best)
    return best + math.log(total)


@njit
def reduce(like, code, x, out, extra):
    """Reduce, or normalise, the middle of [before, axis, behind]; the three are at `extra`."""
    before, size, behind = integer(extra, 0), integer(extra, 1), integer(extra, 2)
    for a in range(before):
        for c in range(behind):
            first = a * size * behind + c
            found = _reduced(like, min(code, LOGSUMEXP), x, first, size, behind)
            if code <= LOGSUMEXP:
                store(like, out, a * behind + c, found)
                continue
            for k in range(size):
                value = load(like, x, first + k * behind) - found
                if code == SOFTMAX:
                    value = math.exp(value)
                store(like, out, first + k * behind, value)
