from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special
from tests.likelihoods.checks import assert_frequencies, noise

from ancestral.likelihoods import Categorical
from ancestral.likelihoods.categorical import choose, cut

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 3, (4, 3, 256))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_log_prob_equals_scipy_and_sums_to_one(dtype: torch.dtype) -> None:
    params = torch.from_numpy(LOGITS).to(dtype).unsqueeze(-3).expand(4, 256, 3, 256)
    codes = torch.arange(256)[None, :, None].expand(4, 256, 3)
    found = Categorical(256).log_prob(params, codes)
    expected = special.log_softmax(LOGITS, axis=-1).transpose(0, 2, 1)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    assert found.dtype == dtype
    np.testing.assert_allclose(found.double(), expected, atol=tolerance)
    np.testing.assert_allclose(found.exp().sum(1), 1, atol=tolerance)


def test_far_tails_stay_finite() -> None:
    params = torch.tensor([[0.0, -5000.0]])
    assert Categorical(2).log_prob(params, torch.tensor([1])).item() == -5000


@pytest.mark.parametrize("temperature", [1.0, 0.7, 3.0])
def test_frequencies(temperature: float) -> None:
    params = torch.from_numpy(LOGITS[0, :1]).expand(40_000, 1, 256)
    codes = Categorical(256).sample(params, noise(40_000, 1), temperature=temperature)
    assert codes.dtype == torch.int64
    assert_frequencies(codes[:, 0], special.softmax(LOGITS[0, 0] / temperature))


def plain_cut(
    logits: npt.NDArray[np.float64], top_k: int | None, top_p: float | None
) -> npt.NDArray[np.float64]:
    """Probabilities after the cuts, category by category."""
    kept: list[int] = []
    ranked = sorted(range(len(logits)), key=lambda code: -logits[code])[:top_k]
    probabilities = special.softmax(logits[ranked])
    mass = 0.0
    for code, probability in zip(ranked, probabilities, strict=True):
        if top_p is not None and kept and mass >= top_p:
            break
        kept.append(code)
        mass += probability
    found = np.zeros(len(logits))
    found[kept] = special.softmax(logits[kept])
    return found


@pytest.mark.parametrize(
    ("top_k", "top_p"), [(5, None), (None, 0.6), (4, 0.9), (1, None), (None, 1.0), (999, None)]
)
def test_frequencies_after_cuts(top_k: int | None, top_p: float | None) -> None:
    logits = LOGITS[1, 0, :20]
    params = torch.from_numpy(logits).expand(20_000, 1, 20)
    codes = Categorical(20).sample(
        params, noise(20_000, 1), temperature=1.5, top_k=top_k, top_p=top_p
    )
    assert_frequencies(codes[:, 0], plain_cut(logits / 1.5, top_k, top_p))


@settings(max_examples=100)
@given(
    st.lists(st.floats(-6, 6).map(lambda x: round(x, 1)), min_size=2, max_size=9),
    st.none() | st.integers(1, 10),
    st.none() | st.floats(0.05, 0.95),
)
def test_cut_equals_the_plain_loop(
    logits: list[float], top_k: int | None, top_p: float | None
) -> None:
    expected = plain_cut(np.array(logits), top_k, top_p)
    found = cut(torch.tensor(logits, dtype=torch.float64), top_k, top_p).softmax(-1)
    if (found > 0).tolist() == (expected > 0).tolist():
        np.testing.assert_allclose(found, expected, atol=1e-12)
    else:  # only where a running sum meets top_p to rounding
        sums = special.softmax(np.sort(logits)[::-1][:top_k]).cumsum()
        assert np.abs(sums - top_p).min() < 1e-12


def test_ties_at_the_cut_keep_the_lower_codes() -> None:
    kept = torch.isfinite(cut(torch.tensor([1.0, 2.0, 1.0, 1.0]), 2, None))
    assert kept.tolist() == [True, True, False, False]


@pytest.mark.parametrize(("top_k", "top_p"), [(0, None), (None, 0.0), (None, 1.1)])
def test_cuts_out_of_range_are_refused(top_k: int | None, top_p: float | None) -> None:
    with pytest.raises(ValueError, match="top_"):
        Categorical(4).sample(torch.zeros(1, 4), torch.full((1, 2), 0.5), top_k=top_k, top_p=top_p)


def test_the_cdf_steps_over_categories_without_mass() -> None:
    logits = torch.tensor([-np.inf, 0.0, -np.inf, 0.0, -np.inf]).expand(4, 5)
    u = torch.tensor([2**-33, 0.499, 0.501, 1 - 2**-33], dtype=torch.float64)
    assert choose(logits, u).tolist() == [1, 1, 3, 3]


def test_many_categories_keep_their_last_bin() -> None:
    logits = torch.zeros(65536)
    u = torch.tensor(1 - 2**-33, dtype=torch.float64)
    assert choose(logits, u).item() == 65535


def test_temperature_zero_is_the_mode_and_is_met_by_small_temperatures() -> None:
    params = torch.from_numpy(LOGITS)
    u = torch.rand((4, 3, 2), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mode = Categorical(256).sample(params, u, temperature=0)
    assert (mode.numpy() == LOGITS.argmax(-1)).all()
    for small in (1e-6, 1e-30, 1e-310):
        assert (Categorical(256).sample(params, u, temperature=small) == mode).all()


@pytest.mark.parametrize("levels", [1, 2.5, "16", True])
def test_levels_are_checked(levels: int) -> None:
    with pytest.raises(ValueError, match="levels"):
        Categorical(levels)
