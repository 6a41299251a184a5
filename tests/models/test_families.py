"""What every family must be: causal, a proper distribution, exportable at any batch and length."""

from __future__ import annotations

import warnings
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
import torch
from tests.models.cases import LABEL, SERIES, dependencies, network, total_probability
from torch.export import Dim, export

from ancestral.compile.whole import recurrences_whole
from ancestral.models import ConditionSpec, DataSpec, Network

BITS = {"kind": "bernoulli"}
TRITS = {"kind": "categorical", "levels": 3}
SMALL = DataSpec(kind="image", shape=(1, 2, 3), levels=2)
ODD = DataSpec(kind="image", shape=(1, 3, 3), levels=2)
PAIRS = DataSpec(kind="image", shape=(2, 2, 2), levels=2)
AUDIO = DataSpec(kind="audio", levels=3, sample_rate=8000)
TEXT = DataSpec(kind="sequence", levels=3)
PIXELCNN = {"channels": 4, "dilations": [1, 2], "first_kernel": 3}
PIXELCNN_PP = {"channels": 3, "layers": 1}
PIXELSNAIL = {"channels": 4, "blocks": 1, "layers": 1, "keys": 4}
PIXELRNN = {"channels": 4, "layers": 1, "first_kernel": 3}
WAVERNN = {"width": 4, "hidden": 9}
WAVENET = {"dilations": [1, 2], "residual": 3, "skip": 4}

CASES: dict[
    str, tuple[str, DataSpec, dict[str, Any], dict[str, Any], tuple[ConditionSpec, ...]]
] = {
    "pixelcnn": ("gated-pixelcnn", SMALL, BITS, PIXELCNN, (LABEL,)),
    "pixelcnn-channels": ("gated-pixelcnn", PAIRS, BITS, PIXELCNN | {"final": [6]}, ()),
    "gpt": ("image-gpt", SMALL, BITS, {"layers": 2, "width": 4, "heads": 2}, (LABEL,)),
    "gpt-explicit": (
        "image-gpt",
        PAIRS,
        BITS,
        {"layers": 1, "width": 4, "heads": 1, "attention": "explicit", "positions": "row-column"},
        (),
    ),
    "made": ("made", SMALL, BITS, {"hidden": [9, 8], "direct": True}, (LABEL,)),
    "made-order": ("made", PAIRS, BITS, {"hidden": [30], "order": 4, "degree_seed": 1}, ()),
    "causal-conv": (
        "causal-conv",
        AUDIO,
        TRITS,
        {"channels": 4, "layers": 2, "kernel": 2},
        (LABEL,),
    ),
    "char-rnn": ("char-rnn", TEXT, TRITS, {"width": 4}, ()),
    "char-rnn-gru": ("char-rnn", TEXT, TRITS, {"cell": "gru", "width": 3, "layers": 2}, ()),
    "row-lstm": ("row-lstm", SMALL, BITS, PIXELRNN, ()),
    "row-lstm-channels": ("row-lstm", PAIRS, BITS, PIXELRNN | {"hidden": 2, "layers": 2}, ()),
    "diagonal-bilstm": ("diagonal-bilstm", SMALL, BITS, PIXELRNN | {"state_bias": True}, ()),
    "diagonal-bilstm-channels": ("diagonal-bilstm", PAIRS, BITS, PIXELRNN | {"hidden": 2}, ()),
    "pixelcnn-one-stack": (
        "pixelcnn",
        SMALL,
        BITS,
        {"channels": 2, "blocks": 1, "first_kernel": 3},
        (LABEL,),
    ),
    "pixelcnn-one-stack-channels": ("pixelcnn", PAIRS, BITS, {"channels": 2, "blocks": 2}, ()),
    "pixelcnn-pp": ("pixelcnn-pp", SMALL, BITS, PIXELCNN_PP, (LABEL,)),
    "pixelcnn-pp-odd": (
        "pixelcnn-pp",
        ODD,
        BITS,
        PIXELCNN_PP | {"layers": 2, "scales": 2, "weight_norm": False},
        (),
    ),
    "pixelsnail": ("pixelsnail", SMALL, BITS, PIXELSNAIL, (LABEL,)),
    "pixelsnail-odd": ("pixelsnail", ODD, BITS, PIXELSNAIL | {"blocks": 2, "heads": 2}, ()),
    "wavernn": ("wavernn", AUDIO, TRITS, WAVERNN | {"features": 3, "blocks": 1}, (SERIES,)),
    "wavernn-alone": ("wavernn", AUDIO, TRITS, WAVERNN, ()),
    "wavenet": ("wavenet", AUDIO, TRITS, WAVENET, (LABEL, SERIES)),
    "wavenet-3": ("wavenet", AUDIO, TRITS, WAVENET | {"kernel": 3, "bias": False}, ()),
}


def case(name: str, sites: int = 6) -> tuple[Network, int, list[torch.Tensor]]:
    family, data, likelihood, hyper, specs = CASES[name]
    sites = data.sites() if data.shape else sites
    generator = torch.Generator().manual_seed(1)
    conditions = [
        torch.tensor([2])
        if spec.kind == "label"
        else torch.randn(1, 2, sites, generator=generator, dtype=torch.float64)
        for spec in specs
    ]
    return network(family, data, likelihood, *specs, **hyper), sites, conditions


@pytest.mark.parametrize("name", CASES)
def test_probabilities_of_all_items_sum_to_one(name: str) -> None:
    net, sites, conditions = case(name)
    assert total_probability(net, sites, *conditions) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("name", [name for name in CASES if name != "made-order"])
def test_parameters_depend_on_earlier_values_alone(name: str) -> None:
    net, sites, conditions = case(name)
    assert not np.triu(dependencies(net, sites, *conditions)).any()


@pytest.mark.parametrize("name", CASES)
def test_conditions_matter_from_the_first_site(name: str) -> None:
    net, sites, conditions = case(name)
    codes = net.data.from_sites(torch.zeros(1, sites, net.data.dims_per_site, dtype=torch.int64))
    base = net(codes, *conditions).flatten(1, -3)[:, 0]
    for number, condition in enumerate(conditions):
        other = list(conditions)
        other[number] = condition - 1
        assert not torch.equal(net(codes, *other).flatten(1, -3)[:, 0], base)


@pytest.mark.parametrize("name", CASES)
def test_export_with_open_batch_and_time(name: str) -> None:
    net, sites, conditions = case(name)
    dims = net.data.dims_per_site
    batch, time = Dim("batch", min=2), Dim("time", min=3)
    open_length = not net.data.shape

    def inputs(count: int, length: int) -> list[torch.Tensor]:
        levels = net.data.levels or 2
        codes = net.data.from_sites(torch.randint(0, levels, (count, length, dims)))
        rows = [c.expand(count, *c.shape[1:]) for c in conditions]
        return [
            codes,
            *(c[..., :1].expand(*c.shape[:2], length) if c.dim() == 3 else c for c in rows),
        ]

    example = inputs(3, sites)
    axes = [
        {0: batch} | ({x.dim() - 1: time} if open_length and x.dim() > 1 else {}) for x in example
    ]
    shapes: dict[str, Any] = {"codes": axes[0]}
    if conditions:
        shapes["conditions"] = tuple(axes[1:])
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        stack.enter_context(recurrences_whole())
        program = export(net, tuple(example), dynamic_shapes=shapes, strict=False)
    other = inputs(5, 2 * sites if open_length else sites)
    torch.testing.assert_close(program.module()(*other), net(*other), rtol=0, atol=0)


@pytest.mark.parametrize("name", CASES)
def test_a_batch_is_its_items(name: str) -> None:
    net, sites, conditions = case(name)
    levels = net.data.levels or 2
    codes = net.data.from_sites(torch.randint(0, levels, (4, sites, net.data.dims_per_site)))
    rows = [c.expand(4, *c.shape[1:]) for c in conditions]
    whole = net(codes, *rows)
    for i in range(4):
        alone = net(codes[i : i + 1], *conditions)[0]
        torch.testing.assert_close(whole[i], alone, rtol=1e-12, atol=1e-12)
