"""Published WaveNets."""

from __future__ import annotations

import math
from typing import Any

from ancestral.media.codecs import MuLaw, lost_in_int16
from ancestral.store.layouts import Found, Layout, LayoutError, Rule, cycle


def _sample_rate(found: Found) -> int:
    rate = found.told.sample_rate
    if rate is None:
        raise LayoutError(
            "the file does not hold its sample rate: give --sample-rate, such as 44100"
        )
    return rate


def _herrmann(found: Found) -> dict[str, Any]:
    sizes, told, rate = found.sizes, found.told, _sample_rate(found)
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
            "sample_rate": rate,
            "length": {"default": rate, "maximum": 60 * rate},
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


def _r9y9(found: Found) -> dict[str, Any]:
    """Scalar input in [-1, 1] with a mixture of logistics, or mu-law codes with a softmax."""
    sizes, rate = found.sizes, _sample_rate(found)
    if sizes["K"] < 2:
        raise LayoutError("a kernel of one tap reads no past")
    codec: dict[str, Any]
    if "L" in sizes:
        levels = sizes["L"]
        if sizes["P"] != levels:
            raise LayoutError(f"{sizes['P']} outputs for {levels} codes")
        mu_law = MuLaw(levels - 1, levels, "floor", "grid")
        codec = {
            "kind": "mu-law",
            "mu": levels - 1,
            "levels": levels,
            "rounding": "floor",
            "decode_points": "grid",
            "survives_int16": not lost_in_int16(mu_law),
        }
        likelihood: dict[str, Any] = {"kind": "categorical", "levels": levels}
        start = _R9Y9_START
    else:
        levels = _SIXTEEN_BITS
        if sizes["P"] % 3:
            raise LayoutError(f"{sizes['P']} outputs are no mixture of logistics: 3 a component")
        codec = {"kind": "linear", "levels": levels}
        likelihood = {
            "kind": "mixture-of-logistics",
            "components": sizes["P"] // 3,
            "levels": levels,
        }
        start = 0
    return {
        "hyperparameters": {
            "dilations": cycle(found.told, found.layers),
            "residual": sizes["R"],
            "gate": sizes["D"],
            "skip": sizes["S"],
            "kernel": sizes["K"],
            "start": start,
            **_upsampling(found),
        },
        "data": {
            "kind": "audio",
            "levels": levels,
            "codec": codec,
            "sample_rate": rate,
            "length": {"default": rate, "maximum": 60 * rate},
        },
        "likelihood": likelihood,
        "conditions": _features(found),
        "order": "time",
        "input_encoding": "int" if "L" in sizes else "signed",
        "params_layout": "channels-first",
    }


def _scales(found: Found) -> list[int]:
    """Factors of the upsampling network: its filters have 2 s + 1 steps for a factor of s."""
    return [found.sizes[name] // 2 for name in _SCALES if name in found.sizes]


def _upsampling(found: Found) -> dict[str, Any]:
    scales = _scales(found)
    if not scales:
        return {}
    if found.sizes.get("W", 1) == 1:
        raise LayoutError("upsample_net.conv_in: a kernel of one frame is not read")
    return {
        "upsample": scales,
        "upsample_kernel": found.sizes["F"],
        "upsample_context": found.sizes["W"] // 2,
    }


def _features(found: Found) -> list[dict[str, Any]]:
    if "C" not in found.sizes:
        return []
    hop = math.prod(_scales(found))
    return [{"name": "features", "kind": "series", "channels": found.sizes["C"], "hop": hop}]


_SCALES = "abcdefgh"  # letters of the table for the filters of at most eight factors
_R9Y9_START = 127  # the code that sampling starts from there
_SIXTEEN_BITS = 65536
_R9Y9_LAYER = r"conv_layers\.(\d+)"


def _kept(layer: int, layers: int) -> float:
    """x_n of their pass over ours: each of its layers scales x + z by the root of a half."""
    return float(0.5 ** (layer / 2))


def _undone(layer: int, layers: int) -> float:
    return 1 / _kept(layer, layers)


def _mean_skip(layer: int, layers: int) -> float:
    """The sum of skips is scaled by the root of their number; a ReLU lets a positive factor by."""
    return float(layers**-0.5)


def _r9y9_layout(name: str, input_rules: tuple[Rule, ...]) -> Layout:
    return Layout(
        name=name,
        origin="WaveNet of r9y9/wavenet_vocoder, with a ConvInUpsampleNetwork or none",
        family="wavenet",
        layer=_R9Y9_LAYER + r"\.conv\.weight",
        rules=(
            *input_rules,
            Rule(
                _R9Y9_LAYER + r"\.conv\.weight",
                ("2D", "R", "K"),
                "layers.{}.dilated.weight",
                scale=_kept,
            ),
            Rule(_R9Y9_LAYER + r"\.conv\.bias", ("2D",), "layers.{}.dilated.bias"),
            Rule(
                _R9Y9_LAYER + r"\.conv1x1c\.weight",
                ("2D", "C", 1),
                "layers.{}.conditions.0.weight",
                optional=True,
            ),
            Rule(
                _R9Y9_LAYER + r"\.conv1x1c\.bias",
                ("2D",),
                "layers.{}.dilated.bias",
                optional=True,
            ),
            Rule(
                _R9Y9_LAYER + r"\.conv1x1_out\.weight",
                ("R", "D", 1),
                "layers.{}.residual.weight",
                scale=_undone,
            ),
            Rule(
                _R9Y9_LAYER + r"\.conv1x1_out\.bias",
                ("R",),
                "layers.{}.residual.bias",
                scale=_undone,
            ),
            Rule(
                r"upsample_net\.conv_in\.weight",
                ("C", "C", "W"),
                "upsample.0.mix.weight",
                optional=True,
            ),
            *(  # a module that repeats frames lies before each filter
                Rule(
                    rf"upsample_net\.upsample\.up_layers\.{2 * n + 1}\.weight",
                    (1, 1, "F", letter),
                    f"upsample.0.convs.{n}.weight",
                    optional=True,
                )
                for n, letter in enumerate(_SCALES)
            ),
            Rule(_R9Y9_LAYER + r"\.conv1x1_skip\.weight", ("S", "D", 1), "layers.{}.skip.weight"),
            Rule(_R9Y9_LAYER + r"\.conv1x1_skip\.bias", ("S",), "layers.{}.skip.bias"),
            Rule(r"last_conv_layers\.1\.weight", ("S", "S", 1), "final.0.weight", scale=_mean_skip),
            Rule(r"last_conv_layers\.1\.bias", ("S",), "final.0.bias"),
            Rule(r"last_conv_layers\.3\.weight", ("P", "S", 1), "final.1.weight"),
            Rule(r"last_conv_layers\.3\.bias", ("P",), "final.1.bias"),
        ),
        describe=_r9y9,
        drop=(  # nothing follows the last layer's residual output
            "conv_layers.{}.conv1x1_out.weight",
            "conv_layers.{}.conv1x1_out.bias",
        ),
    )


R9Y9_WAVENET = _r9y9_layout(
    "r9y9-wavenet",
    (
        Rule(r"first_conv\.weight", ("R", 1, 1), "input.weight"),
        Rule(r"first_conv\.bias", ("R",), "input.bias"),
    ),
)
R9Y9_WAVENET_CODES = _r9y9_layout(
    "r9y9-wavenet-codes",
    (  # a 1×1 convolution of one-hot codes is an embedding
        Rule(
            r"first_conv\.weight",
            ("R", "L", 1),
            "input.weight",
            (slice(None), slice(None), 0),
            transpose=True,
        ),
        Rule(r"first_conv\.bias", ("R",), "input.weight"),
    ),
)
