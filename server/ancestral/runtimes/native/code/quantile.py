"""The standard normal's quantile function: Wichura (1988), Algorithm AS 241, PPND16 (1e-16)."""

from __future__ import annotations

import math

from numba import njit

from ancestral.likelihoods.quantile import FAR, MIDDLE, NEAR


@njit
def _ratio(x, a, b):
    top, bottom = 0.0, 0.0
    for i in range(len(a)):
        top, bottom = top * x + a[i], bottom * x + b[i]
    return top / bottom


@njit
def ndtri(p):
    """x with Φ(x) = p, 0 < p < 1."""
    q = p - 0.5
    if abs(q) <= 0.425:
        return q * _ratio(0.180625 - q * q, NEAR[0], NEAR[1])
    r = math.sqrt(-math.log(p if q < 0 else 1.0 - p))
    value = _ratio(r - 1.6, MIDDLE[0], MIDDLE[1]) if r <= 5.0 else _ratio(r - 5.0, FAR[0], FAR[1])
    return -value if q < 0 else value
