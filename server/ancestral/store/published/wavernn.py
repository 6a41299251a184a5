"""Published WaveRNN vocoders."""

from __future__ import annotations

from math import prod
from typing import Any

from ancestral.store.layouts import Found, Layout, LayoutError, Rule


def _described(found: Found) -> dict[str, Any]:
    sizes, rate = found.sizes, found.told.sample_rate
    if rate is None:
        raise LayoutError("the file does not hold the sample rate: give --sample-rate, in Hz")
    if found.config.get("pad") != 2:
        raise LayoutError(f"{found.config.get('pad')} frames of padding are not read; 2 are")
    scales = [int(scale) for scale in found.config["scales"]]
    levels, hop = sizes["L"], prod(scales)
    return {
        "hyperparameters": {
            "width": sizes["H"],
            "hidden": sizes["M"],
            "scales": scales,
            "features": sizes["F"],
            "blocks": found.layers,
        },
        "data": {
            "kind": "audio",
            "levels": levels,
            "codec": {"kind": "linear", "levels": levels},
            "sample_rate": rate,
            "length": {"default": 50 * hop, "maximum": 10_000 * hop},
        },
        "likelihood": {"kind": "categorical", "levels": levels},
        "conditions": [{"name": "mel", "kind": "series", "channels": sizes["C"], "hop": hop}],
        "order": "time",
        "input_encoding": "signed",
        "params_layout": "channels-last",
    }


_BLOCK = r"resnet\.layers\.(\d+)"

LIBWAVERNN = Layout(
    name="libwavernn",
    origin="sparse WaveRNN of geneing/WaveRNN-Pytorch, libwavernn's binary file",
    family="wavernn",
    layer=_BLOCK + r"\.conv1\.weight",
    rules=(
        Rule(r"resnet\.conv_in\.weight", ("F", "C", 5), "frames.first.weight"),
        Rule(r"resnet\.conv_in\.bias", ("F",), "frames.first.bias"),
        Rule(_BLOCK + r"\.conv1\.weight", ("F", "F", 1), "frames.blocks.{}.before.weight"),
        Rule(_BLOCK + r"\.conv1\.bias", ("F",), "frames.blocks.{}.before.bias"),
        Rule(_BLOCK + r"\.conv2\.weight", ("F", "F", 1), "frames.blocks.{}.after.weight"),
        Rule(_BLOCK + r"\.conv2\.bias", ("F",), "frames.blocks.{}.after.bias"),
        Rule(r"resnet\.conv_out\.weight", ("F", "F", 1), "frames.last.weight"),
        Rule(r"resnet\.conv_out\.bias", ("F",), "frames.last.bias"),
        Rule(r"upsample\.0\.weight", ("P",), "frames.kernels.0"),
        Rule(r"upsample\.1\.weight", ("Q",), "frames.kernels.1"),
        Rule(r"upsample\.2\.weight", ("R",), "frames.kernels.2"),
        Rule(r"I\.weight", ("H", "I"), "input.weight"),
        Rule(r"I\.bias", ("H",), "input.bias"),
        Rule(r"rnn1\.weight_ih_l0", ("3H", "H"), "layers.weight_ih_l0"),
        Rule(r"rnn1\.weight_hh_l0", ("3H", "H"), "layers.weight_hh_l0"),
        Rule(r"rnn1\.bias_ih_l0", ("3H",), "layers.bias_ih_l0"),
        Rule(r"rnn1\.bias_hh_l0", ("3H",), "layers.bias_hh_l0"),
        Rule(r"fc1\.weight", ("M", "N"), "hidden.weight"),
        Rule(r"fc1\.bias", ("M",), "hidden.bias"),
        Rule(r"fc2\.weight", ("L", "M"), "output.weight"),
        Rule(r"fc2\.bias", ("L",), "output.bias"),
    ),
    describe=_described,
)
