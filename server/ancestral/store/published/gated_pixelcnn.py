"""Published Gated PixelCNNs."""

from __future__ import annotations

from typing import Any

import torch

from ancestral.store.layouts import Found, Layout, LayoutError, Rule, cycle

_ABOVE = (slice(None), slice(None), slice(0, 1))  # the row above
_ABOVE_AND_ROW = (slice(None), slice(None), slice(0, 2))
_LEFT = (slice(None), slice(None), slice(None), slice(0, 1))  # the pixel to the left
_LEFT_AND_PIXEL = (slice(None), slice(None), slice(None), slice(0, 2))


def _describe(found: Found) -> dict[str, Any]:
    sizes, told = found.sizes, found.told
    shape = list(told.shape or ())
    if len(shape) != 3 or shape[0] != sizes["I"]:
        raise LayoutError(
            f"the file does not hold the size of its {sizes['I']}-channel images: "
            f"give --shape {sizes['I']},HEIGHT,WIDTH"
        )
    if sizes["I"] != 1:
        raise LayoutError("images of several channels: their order is not in this layout")
    return {
        "hyperparameters": {
            "channels": sizes["C"],
            "dilations": cycle(told, found.layers),
            "kernel": 3,
            "first_kernel": 3,
            "activation": "elu",
        },
        "data": {"kind": "image", "shape": shape, "levels": sizes["L"]},
        "likelihood": {"kind": "categorical", "levels": sizes["L"]},
        "order": "raster",
        "input_encoding": "signed",
        "params_layout": "channels-first",
    }


UVA_GATED_PIXELCNN = Layout(
    name="uva-gated-pixelcnn",
    origin="Gated PixelCNN of the UvA Deep Learning Tutorial 12 (P. Lippe)",
    family="gated-pixelcnn",
    layer=r"conv_layers\.(\d+)\.conv_vert\.conv\.weight",
    rules=(
        Rule(r"conv_vstack\.conv\.weight", ("C", "I", 3, 3), "first_vertical.weight", _ABOVE),
        Rule(r"conv_vstack\.conv\.bias", ("C",), "first_vertical.bias"),
        Rule(r"conv_hstack\.conv\.weight", ("C", "I", 1, 3), "first_horizontal.weight", _LEFT),
        Rule(r"conv_hstack\.conv\.bias", ("C",), "first_horizontal.bias"),
        Rule(
            r"conv_layers\.(\d+)\.conv_vert\.conv\.weight",
            ("2C", "C", 3, 3),
            "layers.{}.vertical.weight",
            _ABOVE_AND_ROW,
        ),
        Rule(r"conv_layers\.(\d+)\.conv_vert\.conv\.bias", ("2C",), "layers.{}.vertical.bias"),
        Rule(
            r"conv_layers\.(\d+)\.conv_horiz\.conv\.weight",
            ("2C", "C", 1, 3),
            "layers.{}.horizontal.weight",
            _LEFT_AND_PIXEL,
        ),
        Rule(r"conv_layers\.(\d+)\.conv_horiz\.conv\.bias", ("2C",), "layers.{}.horizontal.bias"),
        Rule(
            r"conv_layers\.(\d+)\.conv_vert_to_horiz\.weight",
            ("2C", "2C", 1, 1),
            "layers.{}.vertical_to_horizontal.weight",
        ),
        Rule(
            r"conv_layers\.(\d+)\.conv_vert_to_horiz\.bias",
            ("2C",),
            "layers.{}.vertical_to_horizontal.bias",
        ),
        Rule(
            r"conv_layers\.(\d+)\.conv_horiz_1x1\.weight",
            ("C", "C", 1, 1),
            "layers.{}.residual.weight",
        ),
        Rule(r"conv_layers\.(\d+)\.conv_horiz_1x1\.bias", ("C",), "layers.{}.residual.bias"),
        Rule(r"conv_out\.weight", ("L", "C", 1, 1), "final.0.weight"),
        Rule(r"conv_out\.bias", ("L",), "final.0.bias"),
    ),
    masks={
        r"conv_vstack\.mask": torch.tensor([[[[1.0] * 3, [0.0] * 3, [0.0] * 3]]]),
        r"conv_hstack\.mask": torch.tensor([[[[1.0, 0.0, 0.0]]]]),
        r"conv_layers\.(\d+)\.conv_vert\.mask": torch.tensor([[[[1.0] * 3, [1.0] * 3, [0.0] * 3]]]),
        r"conv_layers\.(\d+)\.conv_horiz\.mask": torch.tensor([[[[1.0, 1.0, 0.0]]]]),
    },
    describe=_describe,
)
