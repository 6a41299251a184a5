"""A choice among logits by inverse CDF, in float64 whatever the logits are."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from ancestral.runtimes.native.code.blocks import MASSES
from ancestral.runtimes.native.code.lanes import call_kernel
from ancestral.runtimes.native.code.memory import load

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
    total = log_total(kernel, params, count, scratch)
    if not fixed and plain:
        value = float(_choose(scratch, count, u))
    return value, float(load(like, params, int(value))) - total


@njit
def log_total(kernel, params, count, scratch):
    """log Σ exp of logits."""
    _masses(kernel, params, count, 1.0, scratch)
    return scratch[LARGEST] + math.log(scratch[TOTAL])
