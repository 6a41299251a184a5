"""The vectorised functions and the compiled draws beside torch, scipy and the likelihoods."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numba import njit
from scipy import special

from ancestral.likelihoods.noise import uniforms as wanted_uniforms
from ancestral.runtimes.native.code.kernels import kernels
from ancestral.runtimes.native.code.noise import uniforms
from ancestral.runtimes.native.code.pointwise import CODES, apply
from ancestral.runtimes.native.code.quantile import ndtri

ABSOLUTE = {np.dtype(np.float32): 5e-7, np.dtype(np.float64): 2e-15}


@njit
def _apply(like, kernel, code, x, y, z, out, count):  # type: ignore[no-untyped-def]
    apply(like, kernel, code, x, y, z, out, count)


def applied(name: str, *operands: np.ndarray) -> np.ndarray:
    dtype = operands[0].dtype
    out = np.zeros(operands[0].size + 16, dtype=dtype)
    padded = [np.concatenate([o, np.zeros(16, dtype=dtype)]) for o in operands]
    addresses = [p.ctypes.data for p in padded] + [0] * (3 - len(padded))
    address = kernels(dtype).address
    _apply(dtype.type(0), address, CODES[name], *addresses, out.ctypes.data, operands[0].size)
    return out[: operands[0].size]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_functions_keep_their_stated_errors(dtype: type) -> None:
    x = np.concatenate([np.linspace(-30, 30, 4001), [-1e4, 1e4, 0.0]]).astype(dtype)
    y = x[::-1].copy()
    wide, other = torch.from_numpy(x).double(), torch.from_numpy(y).double()
    limit = ABSOLUTE[np.dtype(dtype)]
    cases = {
        "tanh": wide.tanh(),
        "sigmoid": wide.sigmoid(),
        "elu": F.elu(wide),
    }
    for name, wanted in cases.items():
        np.testing.assert_allclose(applied(name, x), wanted.numpy(), atol=limit, rtol=limit)
    np.testing.assert_allclose(
        applied("gate", x, y), (wide.tanh() * other.sigmoid()).numpy(), atol=limit
    )
    relative = 4 * np.finfo(dtype).eps
    within = np.abs(x) < 80
    np.testing.assert_allclose(applied("exp", x)[within], wide.exp().numpy()[within], rtol=relative)
    near = np.abs(x) < 8
    for name, wanted in {
        "silu": F.silu(wide),
        "gelu_tanh": F.gelu(wide, approximate="tanh"),
        "gelu" if dtype == np.float32 else "gelu_exact": F.gelu(wide),
    }.items():
        np.testing.assert_allclose(applied(name, x)[near], wanted.numpy()[near], atol=8 * limit)


def test_functions_pass_nan_and_reach_their_ends() -> None:
    x = np.array([np.nan, np.inf, -np.inf], dtype=np.float32)
    assert np.isnan(applied("exp", x)[0])
    assert np.isnan(applied("tanh", x)[0])
    assert np.isnan(applied("gate", x, x)[0])
    np.testing.assert_array_equal(applied("exp", x)[1:], [np.inf, 0])
    np.testing.assert_array_equal(applied("sigmoid", x)[1:], [1, 0])


def test_the_noise_is_the_same() -> None:
    for seed, item, site, dimension in ((0, 0, 0, 0), (2**63 + 5, 7, 2**33 + 1, 3)):
        wanted = wanted_uniforms(seed, item, site, dimension)[:2]
        np.testing.assert_array_equal(uniforms(np.uint64(seed), item, site, dimension), wanted)


def test_the_normal_quantile_is_scipys() -> None:
    p = np.concatenate([np.linspace(1e-6, 1 - 1e-6, 1001), 10.0 ** -np.arange(1, 11)])
    np.testing.assert_allclose([ndtri(x) for x in p], special.ndtri(p), rtol=1e-13, atol=1e-15)
