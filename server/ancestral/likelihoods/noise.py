"""Counter-based noise: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers").

A uniform number is a function of (seed, item, site, dimension, draw) and of nothing else, so a
value does not depend on batches, workers or restarts.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_WORD = np.uint64(32)
Words = npt.NDArray[np.uint64]


def philox4x32(counter: tuple[Words, Words, Words, Words], key: tuple[int, int]) -> Words:
    """Ten rounds over counters of 32-bit words (broadcast together) -> words [..., 4]."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        product0, product1 = _MULTIPLIERS[0] * c0, _MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (
            (product1 >> _WORD) ^ c1 ^ np.uint64(k0),
            product1 & _LOW,
            (product0 >> _WORD) ^ c3 ^ np.uint64(k1),
            product0 & _LOW,
        )
        k0, k1 = (k0 + _WEYL[0]) & 0xFFFFFFFF, (k1 + _WEYL[1]) & 0xFFFFFFFF
    return np.stack(np.broadcast_arrays(c0, c1, c2, c3), axis=-1)


def uniforms(
    seed: int, item: npt.ArrayLike, site: npt.ArrayLike, dimension: npt.ArrayLike
) -> npt.NDArray[np.float64]:
    """Uniforms in (0, 1), [..., 4], of broadcast item, site (rank) and dimension numbers.

    Key = the 64-bit seed, low word first; counter = (site low, site high, item, dimension);
    word w becomes (w + ½)·2⁻³². Raises ValueError for a seed outside 0 … 2⁶⁴-1.
    """
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed must lie in 0 … 2**64 - 1, not {seed}")
    items, sites, dims = np.broadcast_arrays(
        np.asarray(item, dtype=np.uint64),
        np.asarray(site, dtype=np.uint64),
        np.asarray(dimension, dtype=np.uint64),
    )
    counter = (sites & _LOW, sites >> _WORD, items & _LOW, dims & _LOW)
    words = philox4x32(counter, (seed & 0xFFFFFFFF, seed >> 32))
    result: npt.NDArray[np.float64] = (words.astype(np.float64) + 0.5) * 2.0**-32
    return result
