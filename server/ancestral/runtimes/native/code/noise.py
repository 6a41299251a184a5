"""The counter-based noise of `likelihoods.noise`, one site at a time, in compiled code."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit
def uniforms(seed, item, site, dimension):
    """Words 0 and 1 of Philox4x32-10 as uniforms in (0, 1); see `likelihoods.noise.uniforms`."""
    low, word = np.uint64(0xFFFFFFFF), np.uint64(32)
    c0, c1 = np.uint64(site) & low, np.uint64(site) >> word
    c2, c3 = np.uint64(item) & low, np.uint64(dimension) & low
    k0, k1 = np.uint64(seed) & low, np.uint64(seed) >> word
    for _ in range(10):
        a, b = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (b >> word) ^ c1 ^ k0, b & low, (a >> word) ^ c3 ^ k1, a & low
        k0 = (k0 + np.uint64(0x9E3779B9)) & low
        k1 = (k1 + np.uint64(0xBB67AE85)) & low
    return (np.float64(c0) + 0.5) * 2.0**-32, (np.float64(c1) + 0.5) * 2.0**-32
