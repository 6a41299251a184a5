"""Every family there is: sampled as the naive loop does, and refused where it leaks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.causal import drawn
from tests.models.cases import LABEL, SERIES, network

from ancestral.compile import CausalityError, compile_network
from ancestral.models import FAMILIES, ConditionSpec, DataSpec, Network
from ancestral.runtimes.derive import derive
from ancestral.runtimes.naive import NaiveRuntime
from ancestral.runtimes.native.runtime import NativeRuntime
from ancestral.runtimes.reference import ReferenceRuntime

BITS = {"kind": "bernoulli"}
TRITS = {"kind": "categorical", "levels": 3}
MIXTURE = {"kind": "mixture-of-gaussians", "components": 2}
LOGISTICS = {"kind": "discretized-logistic-mixture", "components": 2, "channels": 3, "levels": 3}
GREY = DataSpec("image", (1, 3, 5), 3)
COLOUR = DataSpec("image", (3, 2, 3), 3)
VECTOR = DataSpec("vector", (7,), 2)
REAL = DataSpec("vector", (7,))
SOUND = DataSpec("audio", levels=3, sample_rate=8000)
TEXT = DataSpec("sequence", levels=3)
PLANE = ConditionSpec(name="low", kind="plane", channels=2)
TURN = ConditionSpec(name="transformation", kind="label", classes=3)
SITES = 13  # of items of open length

Leak = Callable[[Network], None] | str
Case = tuple[DataSpec, dict[str, Any], dict[str, Any], tuple[ConditionSpec, ...], Leak]


def everything(name: str) -> Callable[[Network], None]:
    """A mask, found by its path in the module, that shows all there is."""

    def leak(net: Network) -> None:
        net.module.get_buffer(name).fill_(1)

    return leak


def not_strict(net: Network) -> None:
    first: Any = net.module.first
    first.strict = False


RNN = {"channels": 6, "layers": 1, "hidden": 3, "first_kernel": 3}
GPT = {"layers": 1, "width": 4, "heads": 2}
PAD, ATTENTION = "padding on the wrong side", "attention without its mask"
CASES: dict[str, Case] = {
    "causal-conv": (SOUND, TRITS, {"channels": 4, "layers": 2, "kernel": 3}, (LABEL,), PAD),
    "char-rnn": (TEXT, TRITS, {"cell": "gru", "width": 3, "layers": 2}, (), PAD),
    "diagonal-bilstm": (COLOUR, TRITS, RNN, (), everything("first.mask")),
    "distaug": (GREY, TRITS, GPT, (TURN, LABEL), ATTENTION),
    "fvsbn": (VECTOR, BITS, {}, (), everything("mask")),
    "gated-pixelcnn": (
        COLOUR, TRITS, {"channels": 6, "dilations": [1, 2], "first_kernel": 3},
        (PLANE, LABEL), PAD,
    ),
    "image-gpt": (COLOUR, TRITS, GPT, (), ATTENTION),
    "image-transformer": (
        GREY, TRITS, {**GPT, "attention": "local-2d", "block": [2, 3], "memory": [1, 1]}, (),
        ATTENTION,
    ),
    "lmconv": (
        GREY, TRITS, {"hidden": 4, "inner": 3, "dilations": [1], "orders": ["raster", "hilbert"]},
        (LABEL,), not_strict,
    ),
    "made": (VECTOR, BITS, {"hidden": [9, 5], "direct": True}, (LABEL,),
             everything("direct.mask_0")),
    "nade": (VECTOR, BITS, {"hidden": 3}, (), PAD),
    "pixelcnn": (COLOUR, TRITS, {"channels": 3, "blocks": 1, "first_kernel": 3}, (),
                 everything("blocks.0.conv.mask")),
    "pixelcnn-pp": (COLOUR, LOGISTICS, {"channels": 3, "layers": 1, "scales": 2}, (LABEL,), PAD),
    "pixelsnail": (GREY, TRITS, {"channels": 4, "blocks": 1, "layers": 1, "keys": 4}, (), PAD),
    "rnade": (REAL, MIXTURE, {"hidden": 3}, (), PAD),
    "row-lstm": (COLOUR, TRITS, RNN, (), everything("first.mask")),
    "sparse-transformer": (
        TEXT, TRITS, {**GPT, "stride": 4, "summary": 1, "pattern": "fixed"}, (), ATTENTION,
    ),
    "wavenet": (SOUND, TRITS, {"dilations": [1, 2], "residual": 3, "skip": 4, "kernel": 3},
                (LABEL, SERIES), PAD),
    "wavernn": (SOUND, TRITS, {"width": 4, "hidden": 5, "features": 3, "blocks": 1}, (SERIES,),
                PAD),
}  # fmt: skip


def built(name: str) -> Network:
    data, likelihood, hyper, specs, _ = CASES[name]
    return network(name, data, likelihood, *specs, **hyper)


def test_no_family_is_left_out() -> None:
    assert set(CASES) == set(FAMILIES)


@pytest.mark.parametrize("name", CASES)
def test_cached_samples_are_the_naive_ones(name: str) -> None:
    """Value for value under the same noise, both in float64, for no more arithmetic."""
    net, specs = built(name), CASES[name][3]
    sites = net.data.sites() if net.data.shape else SITES
    generator = torch.Generator().manual_seed(1)
    given = tuple(
        torch.tensor([1]) if spec.kind == "label"
        else torch.randn(
            1, spec.channels or 1, *(net.data.shape[1:] if spec.kind == "plane" else [sites]),
            generator=generator, dtype=torch.float64,
        )
        for spec in specs
    )  # fmt: skip
    program = derive(net, specs)
    slow = drawn(NaiveRuntime(net, 2, dtype=torch.float64), sites, range(2), conditions=given)
    for runtime in (
        ReferenceRuntime(program, net, 2),
        NativeRuntime(program, net, 2, dtype=torch.float64),
    ):
        fast = drawn(runtime, sites, range(2), conditions=given, staggered=True)
        for item, values in slow.items():
            np.testing.assert_allclose(fast[item], values, atol=1e-9 if REAL is net.data else 0)


def backwards(x: torch.Tensor, pads: Any, *how: Any, **options: Any) -> torch.Tensor:
    """Padding with before and after exchanged."""
    pairs = [pads[i : i + 2][::-1] for i in range(0, len(pads), 2)]
    return F.pad(x, [size for pair in pairs for size in pair], *how, **options)


def unmasked(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, **_: Any) -> torch.Tensor:
    return F.scaled_dot_product_attention(q, k, v)


@pytest.mark.parametrize("name", CASES)
def test_a_leaky_variant_is_refused_with_the_path(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    leak = CASES[name][4]
    net = built(name)
    if callable(leak):
        leak(net)
    else:
        changes = {"pad": backwards} if leak == PAD else {"scaled_dot_product_attention": unmasked}
        leaky = SimpleNamespace(**{**vars(F), **changes})
        for part in net.module.modules():
            module = sys.modules[type(part).__module__]
            if module.__name__.startswith("ancestral.models."):
                monkeypatch.setattr(module, "F", leaky, raising=False)
    with pytest.raises(CausalityError, match="not causal") as refused:
        compile_network(net, CASES[name][3])
    assert refused.value.path[0].startswith("input codes")
    assert len(refused.value.path) > 1
