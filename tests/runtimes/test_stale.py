"""A slot that is used again: what an earlier sequence left in its arena reaches no value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.compile import test_elements

from ancestral.compile.elements import ElementProgram
from ancestral.likelihoods import from_config
from ancestral.models import DataSpec, Network, build
from ancestral.runtimes.base import SlotRequest
from ancestral.runtimes.derive import derive
from ancestral.runtimes.elements import Elements
from ancestral.runtimes.native.runtime import NativeRuntime
from ancestral.runtimes.reference import ReferenceRuntime
from ancestral.runtimes.stale import read_first


def made() -> Network:
    data = DataSpec("vector", (9,), 2)
    return build("made", {"hidden": [12, 12]}, data, from_config({"kind": "bernoulli"})).eval()


NETWORKS = {network.__name__: network for network in (*test_elements.NETWORKS, made)}


def drawn(runtime: ReferenceRuntime, sites: int) -> tuple[Any, Any]:
    slot = runtime.open(SlotRequest(seed=3, item=1, sites=sites))
    advance = runtime.step(sites)[0]
    runtime.close(slot)
    return advance.values, advance.log_prob


@pytest.mark.parametrize("name", NETWORKS)
def test_whatever_was_left_changes_nothing(name: str) -> None:
    torch.manual_seed(0)
    net = NETWORKS[name]()
    program = derive(net)
    assert isinstance(program, ElementProgram)
    sites = net.data.sites()
    for runtime in (NativeRuntime(program, net, 1), ReferenceRuntime(program, net, 1)):
        wanted = drawn(runtime, sites)
        assert isinstance(runtime.batch, Elements)
        for step in program.steps:
            end = step.start + step.payload * len(step.rows)
            runtime.batch._arena[:, step.start : end] = torch.nan
        for one, other in zip(drawn(runtime, sites), wanted, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_mask_that_is_a_weight_reads_what_is_to_come() -> None:
    """MADE's units meet all inputs, most with weight zero; the rows of a stride do not."""
    torch.manual_seed(0)
    programs = [derive(NETWORKS[name]()) for name in ("made", "strided")]
    assert all(isinstance(program, ElementProgram) for program in programs)
    masked, strided = (read_first(program).size for program in programs)  # type: ignore[arg-type]
    assert masked > 0
    assert strided == 0
