"""Published Image GPTs."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ancestral.store.layouts import Found, Layout, LayoutError, Rule


def _described(found: Found, heads: int, palette: Tensor, **variant: str) -> dict[str, Any]:
    """The manifest's part; `palette` is [K, 1 or 3] with intensities of 0 to 1."""
    sizes = found.sizes
    if sizes["D"] % heads:
        raise LayoutError(f"{heads} heads do not divide the width {sizes['D']}")
    if sizes["M"] % sizes["D"]:
        raise LayoutError(f"an MLP of {sizes['M']} units is no multiple of the width {sizes['D']}")
    levels = sizes["L"]
    colours = (palette.double() * 255).round().clamp(0, 255).long().expand(-1, 3)
    if len(colours) != levels:
        raise LayoutError(f"there are {len(colours)} colours for {levels} codes")
    return {
        "hyperparameters": {
            "layers": found.layers,
            "width": sizes["D"],
            "heads": heads,
            "mlp_ratio": sizes["M"] // sizes["D"],
            **variant,
        },
        "data": {
            "kind": "image",
            "shape": _shape(found),
            "levels": levels,
            "palette": colours.tolist(),
        },
        "likelihood": {"kind": "categorical", "levels": levels},
        "order": "raster",
        "input_encoding": "int",
        "params_layout": "channels-last",
    }


def _shape(found: Found) -> list[int]:
    """[1, H, W] as told, or of a square with as many pixels as there are positions."""
    positions, told = found.sizes["N"], found.told.shape
    side = math.isqrt(positions)
    shape = list(told) if told else [1, side, side]
    if len(shape) != 3 or shape[0] != 1 or math.prod(shape) != positions:
        raise LayoutError(
            f"the file holds {positions} positions: give --shape 1,HEIGHT,WIDTH of as many pixels"
        )
    return shape


def _koder(found: Found) -> dict[str, Any]:
    if found.told.heads is None:
        raise LayoutError("the file does not hold the number of heads: give --heads, such as 2")
    palette = found.state["centroids"]
    return _described(found, found.told.heads, palette, residual="normed")


_KODER_LAYER = r"gpt\.layers\.(\d+)"

KODER_IMAGE_GPT = Layout(
    name="koder-image-gpt",
    origin="Image GPT of teddykoker/image-gpt, whose residual branches add to the normed input",
    family="image-gpt",
    layer=_KODER_LAYER + r"\.ln_1\.weight",
    rules=(
        Rule(r"gpt\.sos", ("D",), "start"),
        Rule(r"gpt\.token_embeddings\.weight", ("L", "D"), "token.weight"),
        Rule(r"gpt\.position_embeddings\.weight", ("N", "D"), "positions.0"),
        Rule(_KODER_LAYER + r"\.ln_1\.weight", ("D",), "blocks.{}.norm_attention.weight"),
        Rule(_KODER_LAYER + r"\.ln_1\.bias", ("D",), "blocks.{}.norm_attention.bias"),
        Rule(_KODER_LAYER + r"\.ln_2\.weight", ("D",), "blocks.{}.norm_mlp.weight"),
        Rule(_KODER_LAYER + r"\.ln_2\.bias", ("D",), "blocks.{}.norm_mlp.bias"),
        Rule(_KODER_LAYER + r"\.attn\.in_proj_weight", ("3D", "D"), "blocks.{}.qkv.weight"),
        Rule(_KODER_LAYER + r"\.attn\.in_proj_bias", ("3D",), "blocks.{}.qkv.bias"),
        Rule(_KODER_LAYER + r"\.attn\.out_proj\.weight", ("D", "D"), "blocks.{}.project.weight"),
        Rule(_KODER_LAYER + r"\.attn\.out_proj\.bias", ("D",), "blocks.{}.project.bias"),
        Rule(_KODER_LAYER + r"\.mlp\.0\.weight", ("M", "D"), "blocks.{}.mlp_in.weight"),
        Rule(_KODER_LAYER + r"\.mlp\.0\.bias", ("M",), "blocks.{}.mlp_in.bias"),
        Rule(_KODER_LAYER + r"\.mlp\.2\.weight", ("D", "M"), "blocks.{}.mlp_out.weight"),
        Rule(_KODER_LAYER + r"\.mlp\.2\.bias", ("D",), "blocks.{}.mlp_out.bias"),
        Rule(r"gpt\.ln_f\.weight", ("D",), "norm.weight"),
        Rule(r"gpt\.ln_f\.bias", ("D",), "norm.bias"),
        Rule(r"gpt\.head\.weight", ("L", "D"), "head.weight"),
        Rule(r"gpt\.clf_head\.weight", ("Y", "D"), None, optional=True),  # a classifier's
        Rule(r"gpt\.clf_head\.bias", ("Y",), None, optional=True),
        Rule(r"centroids", ("L", "G"), None),  # G: 1 grey or 3 colours, of 0 to 1
    ),
    zeros={"head.bias": ("L",)},
    describe=_koder,
)

_ACTIVATIONS = {"quick_gelu": "quick-gelu", "gelu": "gelu", "gelu_new": "gelu-tanh"}
_SUPPORTED = {  # settings of ImageGPTConfig that change the forward pass: the value that is read
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "add_cross_attention": False,
    "layer_norm_epsilon": 1e-5,
}


def _hugging_face(found: Found) -> dict[str, Any]:
    config = found.config
    for name, wanted in _SUPPORTED.items():
        if config.get(name, wanted) != wanted:
            raise LayoutError(f"config.json: {name} {config[name]!r} is not read; {wanted!r} is")
    activation = config.get("activation_function", "quick_gelu")
    if activation not in _ACTIVATIONS:
        known = ", ".join(_ACTIVATIONS)
        raise LayoutError(f"config.json: activation_function {activation!r} is none of {known}")
    heads = found.told.heads or config.get("n_head")
    if not isinstance(heads, int):
        raise LayoutError("config.json does not hold n_head: give --heads")
    if "clusters" not in config:
        raise LayoutError(
            "the colours of the codes are missing: put the image processor's "
            "preprocessor_config.json, with its clusters, beside config.json"
        )
    palette = (torch.tensor(config["clusters"], dtype=torch.float64) + 1) / 2
    if palette.dim() != 2 or palette.shape[1] != 3:
        raise LayoutError(f"clusters of shape {list(palette.shape)} where [K, 3] is expected")
    return _described(found, heads, palette, norm="rms", activation=_ACTIVATIONS[activation])


_HF_LAYER = r"transformer\.h\.(\d+)"
_LAST = (-1,)  # of the token embeddings: the start-of-sequence token's
_BUT_LAST = (slice(None, -1),)

HF_IMAGE_GPT = Layout(
    name="hf-image-gpt",
    origin="ImageGPTForCausalImageModeling of Hugging Face transformers",
    family="image-gpt",
    layer=_HF_LAYER + r"\.ln_1\.weight",
    rules=(
        Rule(r"transformer\.wte\.weight", ("V", "D"), "token.weight", _BUT_LAST),
        Rule(r"transformer\.wte\.weight", ("V", "D"), "start", _LAST),
        Rule(r"transformer\.wpe\.weight", ("N", "D"), "positions.0"),
        Rule(_HF_LAYER + r"\.ln_1\.weight", ("D",), "blocks.{}.norm_attention.weight"),
        Rule(_HF_LAYER + r"\.ln_2\.weight", ("D",), "blocks.{}.norm_mlp.weight"),
        Rule(
            _HF_LAYER + r"\.attn\.c_attn\.weight",
            ("D", "3D"),
            "blocks.{}.qkv.weight",
            transpose=True,
        ),
        Rule(_HF_LAYER + r"\.attn\.c_attn\.bias", ("3D",), "blocks.{}.qkv.bias"),
        Rule(
            _HF_LAYER + r"\.attn\.c_proj\.weight",
            ("D", "D"),
            "blocks.{}.project.weight",
            transpose=True,
        ),
        Rule(_HF_LAYER + r"\.attn\.c_proj\.bias", ("D",), "blocks.{}.project.bias"),
        Rule(
            _HF_LAYER + r"\.mlp\.c_fc\.weight",
            ("D", "M"),
            "blocks.{}.mlp_in.weight",
            transpose=True,
        ),
        Rule(_HF_LAYER + r"\.mlp\.c_fc\.bias", ("M",), "blocks.{}.mlp_in.bias"),
        Rule(
            _HF_LAYER + r"\.mlp\.c_proj\.weight",
            ("M", "D"),
            "blocks.{}.mlp_out.weight",
            transpose=True,
        ),
        Rule(_HF_LAYER + r"\.mlp\.c_proj\.bias", ("D",), "blocks.{}.mlp_out.bias"),
        # older files hold the causal mask
        Rule(_HF_LAYER + r"\.attn\.bias", (1, 1, "N", "N"), None, optional=True),
        Rule(_HF_LAYER + r"\.attn\.masked_bias", (), None, optional=True),
        Rule(r"transformer\.ln_f\.weight", ("D",), "norm.weight"),
        Rule(r"lm_head\.weight", ("L", "D"), "head.weight"),
    ),
    zeros={"head.bias": ("L",)},
    describe=_hugging_face,
)
