"""Attention that does not read everything: caches and work follow the mask's pattern."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F
from tests.causal import Function, drawn, network
from torch import Tensor, nn

from ancestral.compile import StepProgram
from ancestral.models import Network
from ancestral.runtimes.base import SlotRequest
from ancestral.runtimes.derive import derive
from ancestral.runtimes.naive import NaiveRuntime
from ancestral.runtimes.places import allocate
from ancestral.runtimes.reference import ReferenceRuntime

HEADS, WIDTH, STRIDE = 2, 8, 5
Mask = Callable[[Tensor, Tensor], Tensor]
Attend = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def causal(query: Tensor, key: Tensor) -> Tensor:
    return key <= query


def window(query: Tensor, key: Tensor) -> Tensor:
    return (key <= query) & (query - key < STRIDE)


def strided(query: Tensor, key: Tensor) -> Tensor:
    return (key <= query) & ((query - key) % STRIDE == 0)


def fixed(query: Tensor, key: Tensor) -> Tensor:
    """The last of every block, and the query's own block."""
    return (key <= query) & ((key % STRIDE == STRIDE - 1) | (key // STRIDE == query // STRIDE))


def fused(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def additive(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """A float mask of −∞ and of a distance that counts."""
    site = torch.arange(mask.shape[-1], device=q.device)
    bias = torch.zeros(mask.shape).to(q).masked_fill(~mask, -math.inf)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias - 0.1 * (site[:, None] - site))


def explicit(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    return scores.masked_fill(~mask, -math.inf).softmax(-1) @ v


def multiplied(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """As in the code of GPT-1 and of the Sparse Transformer: w·m − 1e9·(1 − m)."""
    scores, m = q @ k.transpose(-2, -1), mask.to(q.dtype)
    return (scores * m - 1e9 * (1 - m)).softmax(-1) @ v


@functools.cache
def attention(mask: Mask, attend: Attend, *, image: bool = False) -> Network:
    """Two layers over codes, the first of them behind a shift."""

    def forward(m: Function, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        h = F.pad(m.token(flat)[:, :-1], (0, 0, 1, 0))
        site = torch.arange(flat.shape[1], device=x.device)
        seen = mask(site[:, None], site[None, :])
        for layer in m.layers:
            q, k, v = layer(h).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4).unbind(0)
            h = h + attend(q, k, v, seen).transpose(1, 2).flatten(2)
        return m.out(h)

    torch.manual_seed(3)
    layers = nn.ModuleList(nn.Linear(WIDTH, 3 * WIDTH) for _ in range(2))
    module = Function(forward, token=nn.Embedding(3, WIDTH), layers=layers, out=nn.Linear(WIDTH, 3))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.7)
    shape, kind = ((1, 6, 7), "image") if image else ((), "sequence")
    return network(module, shape, kind=kind, encoding="int", layout="channels-last").double()


def allowed(mask: Mask, sites: int) -> npt.NDArray[np.bool_]:
    site = torch.arange(sites)
    return mask(site[:, None], site[None, :]).numpy()


@functools.cache
def program_of(net: Network) -> StepProgram:
    found = derive(net)
    assert isinstance(found, StepProgram)
    return found


CASES = [
    (window, fused),
    (strided, fused),
    (fixed, fused),
    (window, additive),
    (strided, explicit),
    (fixed, multiplied),
]


@pytest.mark.parametrize(("mask", "attend"), CASES)
def test_samples_are_those_of_the_naive_loop(mask: Mask, attend: Attend) -> None:
    """Slots at different ranks read rows of their own."""
    net = attention(mask, attend)
    sites = 23
    program = program_of(net)
    slow = drawn(NaiveRuntime(net, 4), sites, range(4))
    for staggered in (False, True):
        fast = drawn(
            ReferenceRuntime(program, net, 3), sites, range(4), staggered=staggered, chunk=5
        )
        for item in slow:
            np.testing.assert_array_equal(fast[item], slow[item])


@pytest.mark.parametrize(("mask", "attend"), CASES)
def test_the_work_is_that_of_the_pattern(mask: Mask, attend: Attend) -> None:
    program, sites = program_of(attention(mask, attend)), 60
    pairs = int(allowed(mask, sites).sum())
    steps = [s for s in program.steps if s.kind in ("scores", "mix", "attend")]
    assert steps
    for step in steps:
        assert program.keys_read(step, sites) == pairs
    both = 2 * WIDTH * pairs * 2  # a product with keys and one with values, in two layers
    linear = sites * (2 * WIDTH * 3 * WIDTH + WIDTH * 3)
    assert program.macs_per_item(sites) == both + linear


def alive(seen: npt.NDArray[np.bool_]) -> int:
    """By hand: the most keys so far that some query from here on reads."""
    sites = len(seen)
    return max(int(seen[query:, : query + 1].any(0).sum()) for query in range(sites))


@pytest.mark.parametrize("mask", [window, strided, fixed])
def test_a_cache_holds_what_is_still_to_be_read(mask: Mask) -> None:
    net, sites = attention(mask, fused), 60
    runtime = ReferenceRuntime(program_of(net), net, 2)
    runtime.open(SlotRequest(seed=0, item=0, sites=sites))
    runtime.step(1)
    keys: Any = runtime._batch.caches.keys  # type: ignore[attr-defined]
    assert {store.shape[2] for store in keys.stores()} == {alive(allowed(mask, sites))}


def test_a_window_keeps_no_more_in_a_long_item_than_in_a_short_one() -> None:
    program = program_of(attention(window, fused))
    (step, _) = [s for s in program.steps if s.kind == "attend"]
    assert program.keys_kept(step, 50) == program.keys_kept(step, 400) == STRIDE


def test_dense_attention_stays_as_it_is() -> None:
    program = program_of(attention(causal, fused))
    (step, _) = [s for s in program.steps if s.kind == "attend"]
    assert program.pattern(step, 50) is None
    assert program.keys_read(step, 50) == 50 * 51 // 2
    assert program.keys_kept(step, 50) == 50


@pytest.mark.parametrize(("mask", "attend"), [(fixed, fused), (strided, explicit)])
def test_images_and_prefixes(mask: Mask, attend: Attend) -> None:
    net = attention(mask, attend, image=True)
    prefix = np.random.default_rng(0).integers(0, 3, (16, 1))
    fast = drawn(ReferenceRuntime(program_of(net), net, 2), 42, range(3), prefix=prefix)
    slow = drawn(NaiveRuntime(net, 3), 42, range(3), prefix=prefix)
    for item in slow:
        np.testing.assert_array_equal(fast[item], slow[item])


@pytest.mark.parametrize(("mask", "attend"), [(fixed, fused), (strided, explicit)])
def test_what_the_beginning_of_an_image_takes(mask: Mask, attend: Attend) -> None:
    """The network has masks of the whole only; a batch in which nothing was drawn yet asks."""
    net = attention(mask, attend, image=True)
    program = program_of(net)
    (step, *_) = [s for s in program.steps if s.kind in ("scores", "attend")]
    assert program.keys_read(step, 30) == int(allowed(mask, 30).sum())
    runtime = ReferenceRuntime(program, net, 1)
    assert 0 < runtime.slot_bytes(1) < runtime.slot_bytes(10) < runtime.slot_bytes(42)


@pytest.mark.parametrize("mask", [window, strided, fixed])
def test_a_longer_item_may_join_a_running_batch(mask: Mask) -> None:
    """The places of its pattern are others; what runs keeps its keys."""
    net = attention(mask, fused)
    runtime, values = ReferenceRuntime(program_of(net), net, 2), {}
    lengths = {0: 18, 1: 40}
    slots = {runtime.open(SlotRequest(seed=11, item=0, sites=lengths[0])): 0}
    parts: dict[int, list[Any]] = {0: [], 1: []}

    def run(count: int) -> None:
        for advance in runtime.step(count):
            parts[slots[advance.slot]].append(advance.values)

    run(11)
    slots[runtime.open(SlotRequest(seed=11, item=1, sites=lengths[1]))] = 1
    run(100)
    for item, length in lengths.items():
        values[item] = np.concatenate(parts[item])
        slow = drawn(NaiveRuntime(net, 1), length, [item])
        np.testing.assert_array_equal(values[item], slow[item])


def test_places_are_reused_but_never_shared() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        last = rng.integers(-1, 12, 12)
        place, capacity = allocate(last, 0)
        read = [k for k in range(12) if last[k] >= k]
        assert (place >= 0).nonzero()[0].tolist() == read
        for query in range(12):
            held = [place[k] for k in read if k <= query <= last[k]]
            assert len(set(held)) == len(held) <= capacity
