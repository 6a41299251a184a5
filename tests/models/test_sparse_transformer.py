"""Sparse Transformer: the patterns of the paper's figure 3, and that sampling follows them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from tests.causal import drawn
from tests.models.cases import LABEL, dependencies, network

from ancestral.compile import CausalityError, StepProgram, compile_network
from ancestral.models import DataSpec
from ancestral.models.sparse_transformer import SparseTransformer
from ancestral.runtimes.derive import derive
from ancestral.runtimes.naive import NaiveRuntime
from ancestral.runtimes.reference import ReferenceRuntime

TOKENS = DataSpec("sequence", levels=3)
IMAGE = DataSpec("image", (1, 4, 4), levels=3)
PIXELS = DataSpec("image", (3, 2, 3), levels=3)
TRITS = {"kind": "categorical", "levels": 3}
HYPER = {"layers": 2, "width": 8, "heads": 2, "stride": 4, "summary": 1}


def masks(pattern: str, sites: int, **hyper: object) -> list[np.ndarray]:
    module = SparseTransformer((), 3, 3, pattern=pattern, **{**HYPER, **hyper})  # type: ignore[arg-type]
    return [mask.numpy() for mask in module.masks(torch.arange(sites))]


def test_strided_keys_are_those_of_section_4_2() -> None:
    """A¹ = {t, t+1, …, i} for t = max(0, i − l); A² = {j : (i − j) mod l = 0}."""
    near, far = masks("strided", 14)
    for i in range(14):
        assert set(near[i].nonzero()[0]) == set(range(max(0, i - 3), i + 1))
        assert set(far[i].nonzero()[0]) == {j for j in range(i + 1) if (i - j) % 4 == 0}


def test_fixed_keys_are_those_of_section_4_2() -> None:
    """A¹ = {j : ⌊j/l⌋ = ⌊i/l⌋}; A² = {j : j mod l ∈ {t, …, l}} for t = l − c; and itself."""
    near, far = masks("fixed", 14, summary=2)
    for i in range(14):
        assert set(near[i].nonzero()[0]) == {j for j in range(i + 1) if j // 4 == i // 4}
        assert set(far[i].nonzero()[0]) == {j for j in range(i + 1) if j % 4 >= 2 or j == i}


@pytest.mark.parametrize("pattern", ["strided", "fixed"])
def test_two_steps_reach_everything_before(pattern: str) -> None:
    """The composition of the two patterns connects every position to every earlier one."""
    near, far = masks(pattern, 20)
    either = ((near.astype(int) @ far) > 0) | ((far.astype(int) @ near) > 0)
    if pattern == "fixed":  # but for those in the block at hand, which the first reads alone
        either |= near
    assert (either == np.tri(20, dtype=bool)).all()


CASES = [
    (TOKENS, {"pattern": "strided"}),
    (TOKENS, {"pattern": "fixed", "factorise": "heads", "rows": 3}),
    (IMAGE, {"pattern": "strided", "factorise": "merged"}),
    (PIXELS, {"pattern": "fixed", "stride": 3}),
]


@pytest.mark.parametrize(("data", "hyper"), CASES)
def test_it_is_causal_and_sampled_as_the_naive_loop_does(
    data: DataSpec, hyper: dict[str, object]
) -> None:
    net = network("sparse-transformer", data, TRITS, LABEL, **{**HYPER, **hyper})
    sites = data.sites() if data.shape else 19
    assert not np.triu(dependencies(net, sites, torch.tensor([1]))).any()
    label = (torch.tensor([2]),)
    program = derive(net, [LABEL])
    fast = drawn(ReferenceRuntime(program, net, 2), sites, range(3), conditions=label)
    slow = drawn(NaiveRuntime(net, 3), sites, range(3), conditions=label)
    for item in slow:
        np.testing.assert_array_equal(fast[item], slow[item])


def test_work_grows_with_the_root_of_the_length() -> None:
    """By hand: pairs of the two patterns times the width, twice."""
    net = network("sparse-transformer", TOKENS, TRITS, **{**HYPER, "stride": 16})
    program, sites = compile_network(net), 256
    assert isinstance(program, StepProgram)
    pairs = sum(
        sum(1 for i, j in itertools.product(range(sites), repeat=2) if mask[i, j])
        for mask in masks("strided", sites, stride=16)
    )
    steps = [step for step in program.steps if step.kind == "attend"]
    assert sum(program.keys_read(step, sites) for step in steps) == pairs
    assert pairs < 0.2 * sites * sites, "two layers of N·√N, where dense ones would do N²"
    assert [program.keys_kept(step, sites) for step in steps] == [16, sites - 15]
    linear = sites * (2 * 12 * 8 * 8 + 8 * 3)
    assert program.macs_per_item(sites) == linear + 2 * 8 * pairs, "keys, then values"


def test_a_mask_that_leaks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def leaky(self: SparseTransformer, site: torch.Tensor) -> list[torch.Tensor]:
        return [(site[None] - site[:, None] < 2) & (site[None] >= site[:, None] - 3)]

    monkeypatch.setattr(SparseTransformer, "masks", leaky)
    net = network("sparse-transformer", TOKENS, TRITS, **HYPER)
    with pytest.raises(CausalityError, match="scaled_dot_product_attention"):
        compile_network(net)


def test_data_it_cannot_model_is_refused() -> None:
    with pytest.raises(ValueError, match="codes"):
        network("sparse-transformer", DataSpec("audio"), {"kind": "gaussian"}, **HYPER)
    with pytest.raises(ValueError, match="do not divide"):
        network("sparse-transformer", TOKENS, TRITS, **{**HYPER, "heads": 3})
    with pytest.raises(ValueError, match="summary"):
        network("sparse-transformer", TOKENS, TRITS, **{**HYPER, "summary": 9})
