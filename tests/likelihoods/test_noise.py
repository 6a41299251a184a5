"""Philox4x32-10 against Random123's published vectors, and the uniforms made of it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ancestral.likelihoods.noise import philox4x32, uniforms

# Random123, tests/kat_vectors: counter, key, output
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000",
     "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
     "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
     "d16cfe09 94fdcceb 5001e420 24126ea1"),
]  # fmt: skip


def words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "output"), KNOWN)
def test_published_vectors(counter: str, key: str, output: str) -> None:
    c0, c1, c2, c3 = (np.array(word, dtype=np.uint64) for word in words(counter))
    k0, k1 = words(key)
    assert philox4x32((c0, c1, c2, c3), (k0, k1)).tolist() == words(output)


@pytest.mark.parametrize(("counter", "key", "output"), KNOWN)
def test_uniforms_lay_out_the_counter_as_the_contract_says(
    counter: str, key: str, output: str
) -> None:
    """Counter = (site low, site high, item, dimension), key = the seed, u = (w + ½)·2⁻³²."""
    c0, c1, c2, c3 = words(counter)
    k0, k1 = words(key)
    found = uniforms(k0 + (k1 << 32), c2, np.array(c0 + (c1 << 32), dtype=np.uint64), c3)
    assert found.tolist() == [(word + 0.5) / 2**32 for word in words(output)]


def test_a_block_equals_its_elements() -> None:
    block = uniforms(5, 2, np.arange(7)[:, None], np.arange(3)[None])
    assert block.shape == (7, 3, 4)
    for site in range(7):
        for dim in range(3):
            assert (block[site, dim] == uniforms(5, 2, site, dim)).all()


def test_every_number_of_the_address_matters() -> None:
    seen = {
        tuple(uniforms(seed, item, site, dim))
        for seed in (0, 1, 2**32, 2**64 - 1)
        for item in (0, 1)
        for site in (0, 1, 2**32)
        for dim in (0, 1)
    }
    assert len(seen) == 4 * 2 * 3 * 2


def test_words_are_uniform_and_unrelated() -> None:
    block = uniforms(11, 0, np.arange(20_000), 0)
    assert block.min() > 0
    assert block.max() < 1
    for word in block.T:
        assert stats.kstest(word, "uniform").pvalue > 1e-3
    assert np.abs(np.corrcoef(block.T) - np.eye(4)).max() < 0.03
    assert abs(np.corrcoef(block[:-1, 0], block[1:, 0])[0, 1]) < 0.03


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_out_of_range_is_refused(seed: int) -> None:
    with pytest.raises(ValueError, match="seed"):
        uniforms(seed, 0, 0, 0)
