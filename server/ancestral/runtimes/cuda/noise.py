"""The counter-based noise in torch operators, on any device; see `likelihoods.noise`."""

from __future__ import annotations

import torch
from torch import Tensor

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = 0xFFFFFFFF


def uniforms(seed: Tensor, item: Tensor, site: Tensor, dims: Tensor) -> Tensor:
    """Words 0 and 1 as uniforms in (0, 1): [n, C, 2] float64.

    Of seed, item and site [n] and dims [C]. All are int64; a seed holds the bits of an unsigned
    one. A product of two 32-bit words wraps, and its bits are those of the unsigned product
    (Salmon et al. 2011, Philox4x32-10).
    """
    c0 = (site & _LOW)[:, None].expand(-1, len(dims))
    c1 = (_high(site)[:, None]).expand(-1, len(dims))
    c2 = (item & _LOW)[:, None].expand(-1, len(dims))
    c3 = dims[None].expand(len(site), -1)
    k0, k1 = (seed & _LOW)[:, None], _high(seed)[:, None]
    for _ in range(10):
        one, other = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = _high(other) ^ c1 ^ k0, other & _LOW, _high(one) ^ c3 ^ k1, one & _LOW
        k0, k1 = (k0 + _WEYL[0]) & _LOW, (k1 + _WEYL[1]) & _LOW
    return (torch.stack([c0, c1], -1).double() + 0.5) * 2.0**-32


def _high(words: Tensor) -> Tensor:
    """Bits 32 to 63; the shift fills in the sign, which the mask takes off."""
    return (words >> 32) & _LOW


def as_signed(seed: int) -> int:
    """The bits of a seed in 0 … 2⁶⁴ − 1 as a signed number."""
    return seed - 2**64 if seed >= 2**63 else seed
