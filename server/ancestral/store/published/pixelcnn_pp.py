"""The published PixelCNN++."""

from __future__ import annotations

from typing import Any

from ancestral.store.layouts import Found, Layout, LayoutError, Rule

_SCALES = range(3)
_STREAMS = {"u": ("down", (2, 3)), "ul": ("right", (2, 2))}
_AS_KERNEL = (slice(None), slice(None), None, None)  # a linear layer as a 1×1 convolution


def _describe(found: Found) -> dict[str, Any]:
    channels, outputs = found.sizes["J"] - 1, found.sizes["P"]
    shape = list(found.told.shape or ())
    if len(shape) != 3 or shape[0] != channels:
        raise LayoutError(
            f"the file does not hold the size of its {channels}-channel images: "
            f"give --shape {channels},HEIGHT,WIDTH"
        )
    each = {1: 3, 3: 10}.get(channels)
    if each is None or outputs % each:
        raise LayoutError(f"{outputs} outputs for {channels} channels are no logistic mixture")
    return {
        "hyperparameters": {
            "channels": found.sizes["F"],
            "layers": found.layers,
            "scales": len(_SCALES),
            "weight_norm": False,
        },
        "data": {"kind": "image", "shape": shape, "levels": 256},
        "likelihood": {
            "kind": "discretized-logistic-mixture",
            "components": outputs // each,
            "channels": channels,
            "levels": 256,
        },
        "order": "raster",
        "input_encoding": "signed",
        "params_layout": "channels-first",
    }


def _layer(source: str, target: str, kernel: tuple[int, int], skips: int, more: int) -> list[Rule]:
    """A gated layer at the scale and stream of those names."""
    own, layer = rf"{source}\.(\d+)", target
    rules = [
        Rule(own + r"\.conv_input\.conv\.weight", ("F", "2F", *kernel), layer + ".conv_in.weight"),
        Rule(own + r"\.conv_input\.conv\.bias", ("F",), layer + ".conv_in.bias"),
        Rule(own + r"\.conv_out\.conv\.weight", ("2F", "2F", *kernel), layer + ".conv_out.weight"),
        Rule(own + r"\.conv_out\.conv\.bias", ("2F",), layer + ".conv_out.bias"),
    ]
    if skips:
        width = f"{2 * skips}F"
        rules += [
            Rule(own + r"\.nin_skip\.lin_a\.weight", ("F", width), layer + ".skip.weight",
                 _AS_KERNEL),
            Rule(own + r"\.nin_skip\.lin_a\.bias", ("F",), layer + ".skip.bias"),
        ]  # fmt: skip
    return [Rule(r.source, r.shape, r.target, r.taps, more=more) for r in rules]


def _rules() -> tuple[Rule, ...]:
    rules = [
        Rule(r"u_init\.conv\.weight", ("F", "J", 2, 3), "first_down.weight"),
        Rule(r"u_init\.conv\.bias", ("F",), "first_down.bias"),
        Rule(r"ul_init\.0\.conv\.weight", ("F", "J", 1, 3), "first_above.weight"),
        Rule(r"ul_init\.0\.conv\.bias", ("F",), "first_above.bias"),
        Rule(r"ul_init\.1\.conv\.weight", ("F", "J", 2, 1), "first_left.weight"),
        Rule(r"ul_init\.1\.conv\.bias", ("F",), "first_left.bias"),
        Rule(r"nin_out\.lin_a\.weight", ("P", "F"), "out.weight", _AS_KERNEL),
        Rule(r"nin_out\.lin_a\.bias", ("P",), "out.bias"),
    ]
    for stream, (name, kernel) in _STREAMS.items():
        below = int(stream == "ul")  # what the second stream also reads
        for scale in _SCALES:
            for part, ours, skips, more in (
                ("up_layers", "encoder", below, 0),
                ("down_layers", "decoder", below + 1, int(scale > 0)),
            ):
                source, target = rf"{part}\.{scale}\.{stream}_stream", f"{ours}.{scale}.{{}}.{name}"
                rules += _layer(source, target, kernel, skips, more)
        for scale in _SCALES[:-1]:
            for part, conv, ours in (("downsize", "conv", "shrink"), ("upsize", "deconv", "grow")):
                source = rf"{part}_{stream}_stream\.{scale}\.{conv}\."
                rules += [
                    Rule(source + "weight", ("F", "F", *kernel), f"{ours}.{scale}.{name}.weight"),
                    Rule(source + "bias", ("F",), f"{ours}.{scale}.{name}.bias"),
                ]
    return tuple(rules)


PIXELCNN_PP = Layout(
    name="pixelcnn-pp",
    origin="PixelCNN++ in PyTorch (L. Caccia), as `weight_g` and `weight_v` or folded",
    family="pixelcnn-pp",
    layer=r"up_layers\.0\.u_stream\.(\d+)\.conv_input\.conv\.weight",
    rules=_rules(),
    describe=_describe,
)
