"""Taps that look several sites back, computed for several sites at once: which they are, and that
no bit depends on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from tests.causal import advanced
from tests.searches import search

from ancestral.compile import Program, compile_network
from ancestral.likelihoods import Categorical
from ancestral.models import DataSpec, Network, build
from ancestral.models.rounding import Precision, round_weights
from ancestral.runtimes.native import fields as f
from ancestral.runtimes.native.batch import NativeBatch
from ancestral.runtimes.native.lower.ahead import AT_ONCE, MOST, known
from ancestral.runtimes.native.runtime import NativeRuntime
from ancestral.runtimes.native.storage import Operand
from ancestral.runtimes.reference import ReferenceRuntime

SITES, LEVELS = 39, 7  # no multiple of the sites at once
CHUNKS = (1, 3, 8, 100)
Bits = dict[int, tuple[Any, Any]]


def compiled(
    family: str, hyper: dict[str, Any], precision: Precision = "float32"
) -> tuple[Network, Program]:
    """A network of weights far from uniform, and its program."""
    torch.manual_seed(len(str(hyper)))
    net = build(family, hyper, DataSpec("audio", (), LEVELS), Categorical(LEVELS)).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.4)
    round_weights(net, precision)
    return net, compile_network(net)


def bits(net: Network, program: Program, slots: int, chunk: int, **options: Any) -> Bits:
    return advanced(NativeRuntime(program, net, slots), SITES, range(slots), chunk=chunk, **options)


def equal(found: Bits, wanted: Bits) -> None:
    for item, both in found.items():
        for one, other in zip(both, wanted[item], strict=True):
            np.testing.assert_array_equal(one, other)


def begun(program: Program, net: Network) -> list[tuple[int, ...]]:
    """Of each product: for how many sites it is begun at once, and of how many inputs."""
    batch = NativeRuntime(program, net, 1).batch
    assert isinstance(batch, NativeBatch)
    products = batch.operations[batch.operations[:, f.KIND] == f.PRODUCT][:, f.Z :]
    return [tuple(row) for row in products[:, [f.SITES, f.OLD_INPUTS]].tolist()]


@dataclass
class Place:
    """What the rule asks of a step."""

    space: str = "flat"
    phase: str = "site"


@pytest.mark.parametrize(
    ("ages", "wanted"),
    [
        ([0], (0, 0)),
        ([1, 0], (0, 0)),
        ([2, 0], (1, 2)),
        ([512, 0], (1, AT_ONCE)),
        ([2, 1, 0], (1, 2)),
        ([8, 4, 0], (2, 4)),  # 3/4 of both, not 7/8 of one
        ([64, 2, 0], (2, 2)),  # 1/2 of both, not 7/8 of the smaller
        ([0, 4], (0, 0)),  # sums begin with the first
        ([9, 8, 7], (3, 7)),
    ],
)
def test_as_many_segments_as_save_most_reading(ages: list[int], wanted: tuple[int, int]) -> None:
    segments = [(Operand(mode=f.RING, lag=age), 4 if age == 64 else 16) for age in ages]
    assert known(Place(), segments) == wanted  # type: ignore[arg-type]
    assert known(Place(space="grid"), segments) == (0, 0)  # type: ignore[arg-type]
    gathered = [(Operand(), 16), *segments]
    assert known(Place(), gathered) == (0, 0)  # type: ignore[arg-type]


def test_the_older_taps_of_dilated_layers_are_begun() -> None:
    hyper = {"dilations": [1, 2, 5, 20], "residual": 6, "skip": 9, "kernel": 3}
    net, program = compiled("wavenet", hyper)
    # taps 2d, d and 0 sites back; in the first layer, whose input is shifted, 3, 2 and 1
    assert [b for b in begun(program, net) if b[0]] == [(2, 12), (2, 12), (5, 12), (8, 12)]


@pytest.mark.parametrize("precision", ["float32", "bf16", "int8"])
def test_bits_depend_neither_on_the_chunk_nor_on_the_batch(precision: Precision) -> None:
    hyper = {"dilations": [3, 1, 16], "residual": 20, "skip": 9, "gate": 24, "kernel": 2}
    net, program = compiled("wavenet", hyper, precision)
    wanted = bits(net, program, 8, 100)
    for slots in (1, 2, MOST, MOST + 1):
        for chunk in CHUNKS:
            equal(bits(net, program, slots, chunk), wanted)
    equal(bits(net, program, 2, 5, staggered=True), wanted)
    single, prefix = NativeRuntime(program, net, 1), wanted[0][0][:11]
    given_first = advanced(single, SITES, [0], chunk=100, prefix=prefix)[0]
    np.testing.assert_array_equal(given_first[0], wanted[0][0])


NETWORKS = st.one_of(
    st.tuples(
        st.just("wavenet"),
        st.fixed_dictionaries(
            {
                "dilations": st.lists(st.integers(1, 12), min_size=1, max_size=3),
                "residual": st.integers(2, 40),
                "gate": st.integers(3, 40),
                "skip": st.integers(5, 20),
                "kernel": st.integers(2, 4),
                "bias": st.booleans(),
            }
        ),
    ),
    st.tuples(
        st.just("causal-conv"),
        st.fixed_dictionaries(
            {
                "channels": st.integers(5, 40),
                "layers": st.integers(1, 2),
                "kernel": st.integers(2, 12),
            }
        ),
    ),
)
COMPANY: dict[str, Any] = {
    "slots": st.integers(1, 5),
    "chunk": st.integers(1, 40),
    "staggered": st.booleans(),
}


def any_network(made: tuple[str, dict[str, Any]], slots: int, **options: Any) -> None:
    """In float64 the reference runtime's values; in float32 the bits among eight."""
    net, program = compiled(*made)
    items = range(slots)
    slow = advanced(ReferenceRuntime(program, net, slots), SITES, items, chunk=SITES)
    double = NativeRuntime(program, net, slots, dtype=torch.float64)
    for item, (values, nats) in advanced(double, SITES, items, **options).items():
        np.testing.assert_array_equal(values, slow[item][0])
        np.testing.assert_allclose(nats, slow[item][1], atol=1e-9)
    equal(bits(net, program, slots, **options), bits(net, program, 8, 100))


@search(3)
@given(made=NETWORKS, **COMPANY)
def test_any_network_in_some_company(made: Any, **company: Any) -> None:
    any_network(made, **company)


@pytest.mark.slow
@search(40)
@given(made=NETWORKS, **COMPANY)
def test_any_network_in_any_company(made: Any, **company: Any) -> None:
    any_network(made, **company)
