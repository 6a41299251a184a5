"""Published WaveNets."""

from __future__ import annotations

from typing import Any

from ancestral.media.codecs import MuLaw, lost_in_int16
from ancestral.store.layouts import Found, Layout, LayoutError, Rule, cycle


def _herrmann(found: Found) -> dict[str, Any]:
    sizes, told = found.sizes, found.told
    if told.sample_rate is None:
        raise LayoutError(
            "the file does not hold its sample rate: give --sample-rate, such as 44100"
        )
    levels = sizes["L"]
    # numpy.digitize over a grid of L points with mu = L; played at the middles of the intervals.
    lost = lost_in_int16(MuLaw(levels, levels, "floor", "midpoints"))
    return {
        "hyperparameters": {
            "dilations": cycle(told, found.layers),
            "residual": sizes["R"],
            "gate": sizes["D"],
            "skip": sizes["S"],
            "kernel": 2,
            "final": [],
            "bias": False,
        },
        "data": {
            "kind": "audio",
            "levels": levels,
            "codec": {
                "kind": "mu-law",
                "mu": levels,
                "levels": levels,
                "rounding": "floor",
                "decode_points": "midpoints",
                "survives_int16": not lost,
            },
            "sample_rate": told.sample_rate,
            "length": {"default": told.sample_rate, "maximum": 60 * told.sample_rate},
        },
        "likelihood": {"kind": "categorical", "levels": levels},
        "order": "time",
        "input_encoding": "signed",
        "params_layout": "channels-first",
    }


HERRMANN_WAVENET = Layout(
    name="herrmann-wavenet",
    origin="WaveNet of vincentherrmann/pytorch-wavenet, layout of early 2017",
    family="wavenet",
    layer=r"dilated_convs\.(\d+)\.weight",
    rules=(
        Rule(r"start_conv\.weight", ("R", 1, 1), "input.weight"),
        Rule(r"dilated_convs\.(\d+)\.weight", ("2D", "R", 2), "layers.{}.dilated.weight"),
        Rule(r"residual_convs\.(\d+)\.weight", ("R", "D", 1), "layers.{}.residual.weight"),
        Rule(r"skip_convs\.(\d+)\.weight", ("S", "D", 1), "layers.{}.skip.weight"),
        Rule(r"end_conv\.weight", ("L", "S", 1), "final.0.weight"),
        Rule(r"end_conv\.bias", ("L",), "final.0.bias"),
    ),
    masks={},
    describe=_herrmann,
    drop=("residual_convs.{}.weight",),  # nothing follows the last layer's residual output
)
