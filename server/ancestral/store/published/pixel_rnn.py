"""Published PixelRNNs."""

from __future__ import annotations

from typing import Any

from ancestral.store.layouts import Found, Layout, LayoutError, Positions, Rule


def _described(found: Found) -> dict[str, Any]:
    sizes, shape = found.sizes, list(found.told.shape or ())
    if len(shape) != 3 or shape[0] != 1:
        raise LayoutError("the file does not hold the size of its images: give --shape 1,28,28")
    return {
        "hyperparameters": {
            "channels": sizes["H"],
            "layers": found.layers,
            "first_kernel": sizes["K"],
            "final": [sizes["H"], sizes["H"]],
            "activate_first": False,
            "state_bias": True,
        },
        "data": {"kind": "image", "shape": shape, "levels": 2},
        "likelihood": {"kind": "bernoulli"},
        "order": "raster",
        "input_encoding": "unit",
        "params_layout": "channels-first",
    }


def _direction(source: str, target: str) -> tuple[Rule, ...]:
    """One direction of a layer; the bias of its state-to-state convolution is one number."""
    return (
        Rule(rf"{source}\.(\d+)\.W", ("4H", "H", 1, 1), f"layers.{{}}.{target}.input.weight"),
        Rule(rf"{source}\.(\d+)\.b", ("4H",), f"layers.{{}}.{target}.input.bias"),
        Rule(rf"{source}\.(\d+)\.K_ss", ("4H", "H", 2), f"layers.{{}}.{target}.state.weight"),
        Rule(rf"{source}\.(\d+)\.K_ss_bias", (1,), f"layers.{{}}.{target}.state.bias", repeat="4H"),
    )


# Gates come as o, f, i, g and kernels are not flipped (the layers say flip_filters=False). Weights
# that the first kernel's mask hides are stored all the same; the family masks them again.
TAIMIR_PIXELRNN = Layout(
    name="taimir-pixelrnn",
    origin="Diagonal BiLSTM of taimir/pixel-rnn-lasagne, one channel, sigmoid output",
    family="diagonal-bilstm",
    layer=r"forward\.(\d+)\.W",
    rules=(
        Rule(r"first\.W", ("H", 1, "K", "K"), "first.weight"),
        Rule(r"first\.b", ("H",), "first.bias"),
        *_direction("forward", "left"),
        *_direction("backward", "right"),
        Rule(r"second_last\.W", ("H", "H", 1, 1), "final.0.weight"),
        Rule(r"second_last\.b", ("H",), "final.0.bias"),
        Rule(r"last\.W", ("H", "H", 1, 1), "final.1.weight"),
        Rule(r"last\.b", ("H",), "final.1.bias"),
        Rule(r"output\.W", (1, "H", 1, 1), "final.2.weight"),
        Rule(r"output\.b", (1,), "final.2.bias"),
    ),
    positions=Positions(
        head=("first.W", "first.b"),
        layer=tuple(
            f"{direction}.{{}}.{name}"
            for direction in ("forward", "backward")
            for name in ("W", "b", "K_ss", "K_ss_bias")
        ),
        tail=tuple(f"{name}.{part}" for name in ("second_last", "last", "output") for part in "Wb"),
    ),
    describe=_described,
)
