"""Networks in every style, by elements and under any order, and random ones, in random company:
the native runtime draws what the naive sampler draws, and a slot's bits are its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import hypothesis.strategies as st
import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from tests.causal import Function, advanced, network
from tests.compile import test_elements, test_orders, test_styles
from tests.compile.test_properties import H, RandomNetwork, T, W, layers, taps
from tests.searches import search

from ancestral.compile import Program
from ancestral.models import Network
from ancestral.runtimes.derive import derive
from ancestral.runtimes.naive import NaiveRuntime
from ancestral.runtimes.native.runtime import NativeRuntime

Made = tuple[Network, npt.NDArray[np.int64] | None]  # a network and its order


def image_style(name: str) -> Made:
    function, build = test_styles.IMAGES[name]
    return network(Function(function, **build()), (1, test_styles.H, test_styles.W)), None


def time_style(function: Any) -> Made:
    module = Function(function, **test_styles.time_layers())
    return network(module, (20,), kind="vector", encoding="int"), None


def attention_style(function: Any) -> Made:
    module = Function(function, **test_styles.attention_layers())
    shape = (1, test_styles.H, test_styles.W)
    return network(module, shape, encoding="int", layout="channels-last"), None


def by_elements(make: Callable[[], Network]) -> Made:
    torch.manual_seed(0)
    return make(), None


def ordered(name: str) -> Made:
    net = test_orders.lmconv()
    return net.for_order(name), net.orders[name]


CASES: dict[str, Callable[[], Made]] = {
    **{f"image, {n}": lambda n=n: image_style(n) for n in test_styles.IMAGES},
    **{
        f"time, {f.__name__}": lambda f=f: time_style(f)
        for f in (test_styles.gated_stack, test_styles.crop_in_time, test_styles.start_vector)
    },
    **{f"attention, {f.__name__}": lambda f=f: attention_style(f) for f in test_styles.STYLES},
    **{f"elements, {f.__name__}": lambda f=f: by_elements(f) for f in test_elements.NETWORKS},
    **{f"order, {n}": lambda n=n: ordered(n) for n in test_orders.NAMES},
}  # type: ignore[misc]  # mypy takes a lambda's default for an argument


@cache
def compiled(name: str) -> tuple[Network, npt.NDArray[np.int64] | None, Program]:
    net, order = CASES[name]()
    return net, order, derive(net, (), order)


def alike(
    net: Network,
    program: Program,
    sites: int,
    order: npt.NDArray[np.int64] | None,
    items: int,
    slots: int,
    **company: Any,
) -> None:
    """In float64 the naive sampler's values and nats; in float32 the bits of an item alone."""
    slow = advanced(NaiveRuntime(net, items, order=order), sites, range(items))
    runtime = NativeRuntime(program, net, slots, dtype=torch.float64)
    fast = advanced(runtime, sites, range(items), **company)
    for item, (values, nats) in slow.items():
        np.testing.assert_array_equal(fast[item][0], values)
        np.testing.assert_allclose(fast[item][1], nats, atol=1e-5)
    alone = advanced(NativeRuntime(program, net, 1), sites, [items - 1])[items - 1]
    among = advanced(NativeRuntime(program, net, slots), sites, range(items), **company)
    for one, other in zip(alone, among[items - 1], strict=True):
        np.testing.assert_array_equal(one, other)


COMPANY: dict[str, Any] = {
    "items": st.integers(1, 11),
    "slots": st.integers(1, 11),
    "staggered": st.booleans(),
    "chunk": st.integers(1, 30),
}


def named(name: str, **company: Any) -> None:
    net, order, program = compiled(name)
    alike(net, program, net.data.sites(), order, **company)


@search(3)
@given(name=st.sampled_from(list(CASES)), **COMPANY)
def test_some_styles_in_some_company(name: str, **company: Any) -> None:
    named(name, **company)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
@search(3)
@given(**COMPANY)
def test_every_style_in_some_company(name: str, **company: Any) -> None:
    named(name, **company)


def random_network(time: bool, first: Any, stack: Any, company: dict[str, Any]) -> None:
    module = RandomNetwork(first, stack, time)
    net = network(module, kind="audio") if time else network(module, (1, H, W))
    alike(net, derive(net), T if time else H * W, None, **company)


@search(2)
@given(first=taps(False, True, False), stack=layers(False, False), **COMPANY)
def test_random_image_networks(first: Any, stack: Any, **company: Any) -> None:
    random_network(False, first, stack, company)


@search(2)
@given(first=taps(True, True, False), stack=layers(True, False), **COMPANY)
def test_random_networks_over_time(first: Any, stack: Any, **company: Any) -> None:
    random_network(True, first, stack, company)


@pytest.mark.slow
@search(40)
@given(first=taps(False, True, False), stack=layers(False, False), **COMPANY)
def test_many_random_image_networks(first: Any, stack: Any, **company: Any) -> None:
    random_network(False, first, stack, company)


@pytest.mark.slow
@search(40)
@given(first=taps(True, True, False), stack=layers(True, False), **COMPANY)
def test_many_random_networks_over_time(first: Any, stack: Any, **company: Any) -> None:
    random_network(True, first, stack, company)
