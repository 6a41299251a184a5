"""Image Transformer: its blocks as in the paper's figure 2, and that sampling follows them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.causal import drawn
from tests.models.cases import LABEL, dependencies, network

from ancestral.compile import CausalityError, StepProgram, compile_network
from ancestral.models import DataSpec
from ancestral.models.image_transformer import ImageTransformer
from ancestral.runtimes.derive import derive
from ancestral.runtimes.naive import NaiveRuntime
from ancestral.runtimes.reference import ReferenceRuntime

GREY = DataSpec("image", (1, 4, 6), levels=3)
COLOUR = DataSpec("image", (3, 2, 4), levels=4)
TRITS = {"kind": "categorical", "levels": 3}
FOURS = {"kind": "categorical", "levels": 4}
DMOL = {"kind": "discretized-logistic-mixture", "components": 2, "levels": 4, "channels": 3}
SMALL = {"layers": 2, "width": 8, "heads": 2}
LOCAL_1D = {**SMALL, "attention": "local-1d", "block": 5, "memory": 3}
LOCAL_2D = {**SMALL, "attention": "local-2d", "block": [2, 3], "memory": [1, 1]}


def mask(hyper: dict[str, Any], shape: tuple[int, int, int]) -> np.ndarray:
    module = ImageTransformer(shape, 3, 3, **hyper)
    return module.mask(torch.arange(int(np.prod(shape)))).numpy()


def test_a_query_reads_its_block_and_the_memory_before_it() -> None:
    """Local 1-D: blocks of l_q = 5 with l_m = 3 positions before them."""
    found = mask(LOCAL_1D, (1, 4, 6))
    for query in range(24):
        first = query // 5 * 5
        assert set(found[query].nonzero()[0]) == set(range(max(first - 3, 0), query + 1))


def test_a_query_reads_the_rectangle_around_its_block() -> None:
    """Local 2-D: blocks of 2×3 pixels, one row above them and one column on either side."""
    found = mask(LOCAL_2D, (2, 4, 6))
    for query in range(48):
        row, column = divmod(query // 2, 6)
        rows = range(row // 2 * 2 - 1, row // 2 * 2 + 2)
        columns = range(column // 3 * 3 - 1, column // 3 * 3 + 4)
        wanted = {
            2 * (6 * r + c) + channel
            for r in rows
            for c in columns
            for channel in range(2)
            if 0 <= r < 4 and 0 <= c < 6 and 2 * (6 * r + c) + channel <= query
        }
        assert set(found[query].nonzero()[0]) == wanted


CASES = [
    (GREY, TRITS, LOCAL_1D, "int"),
    (GREY, TRITS, LOCAL_2D, "int"),
    (COLOUR, FOURS, LOCAL_2D, "int"),
    (COLOUR, DMOL, LOCAL_1D, "signed"),
]


@pytest.mark.parametrize(("data", "likelihood", "hyper", "encoding"), CASES)
def test_it_is_causal_and_sampled_as_the_naive_loop_does(
    data: DataSpec, likelihood: dict[str, Any], hyper: dict[str, Any], encoding: str
) -> None:
    net = network("image-transformer", data, likelihood, LABEL, encoding=encoding, **hyper)
    if encoding == "int":
        assert not np.triu(dependencies(net, data.sites(), torch.tensor([1]))).any()
    label = (torch.tensor([2]),)
    program = derive(net, [LABEL])
    fast = drawn(ReferenceRuntime(program, net, 2), data.sites(), range(3), conditions=label)
    slow = drawn(NaiveRuntime(net, 3), data.sites(), range(3), conditions=label)
    for item in slow:
        np.testing.assert_array_equal(fast[item], slow[item])


def test_work_and_cache_are_those_of_the_blocks() -> None:
    net = network("image-transformer", DataSpec("image", (1, 8, 8), 3), TRITS, **LOCAL_1D)
    program = compile_network(net)
    assert isinstance(program, StepProgram)
    step = next(s for s in program.steps if s.kind == "attend")
    assert program.keys_read(step, 64) == int(mask(LOCAL_1D, (1, 8, 8)).sum())
    assert program.keys_kept(step, 64) == 5 + 3


def test_a_mask_that_leaks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def leaky(self: ImageTransformer, site: torch.Tensor) -> torch.Tensor:
        return site[None] // 5 == site[:, None] // 5

    monkeypatch.setattr(ImageTransformer, "mask", leaky)
    with pytest.raises(CausalityError, match="scaled_dot_product_attention"):
        compile_network(network("image-transformer", GREY, TRITS, **LOCAL_1D))


def test_what_it_cannot_model_is_refused() -> None:
    with pytest.raises(ValueError, match="of 2 sizes"):
        network("image-transformer", GREY, TRITS, **{**LOCAL_2D, "block": 3})
    with pytest.raises(ValueError, match="signed"):
        network("image-transformer", GREY, TRITS, encoding="signed", **LOCAL_1D)
    with pytest.raises(ValueError, match="images"):
        network("image-transformer", DataSpec("sequence", levels=3), TRITS, **LOCAL_1D)
