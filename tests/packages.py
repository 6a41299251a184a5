"""Small model packages with random weights, published like real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ancestral.store.manifest import Manifest
from ancestral.store.package import build
from ancestral.store.publish import save_package

LABEL = {"name": "label", "kind": "label", "classes": 3, "prior": [0.5, 0.25, 0.25]}
PIXELCNN = {"channels": 6, "dilations": [1, 2], "first_kernel": 3}
MU_LAW = {
    "kind": "mu-law",
    "mu": 15,
    "levels": 16,
    "rounding": "nearest",
    "decode_points": "grid",
}
FRAMES = {"kind": "log-mel", "window": 24, "lowest": 0.0, "highest": 500.0, "floor": 1e-6}

TINY: dict[str, dict[str, Any]] = {
    "tiny-char-rnn": {
        "family": "char-rnn",
        "hyperparameters": {"width": 6, "layers": 2},
        "data": {
            "kind": "sequence",
            "levels": 6,
            "codec": {"kind": "text", "alphabet": "\n abé["},
            "length": {"default": 20, "maximum": 60},
        },
        "likelihood": {"kind": "categorical", "levels": 6},
        "order": "time",
        "input_encoding": "int",
        "params_layout": "channels-last",
    },
    "tiny-pixelcnn": {
        "family": "gated-pixelcnn",
        "hyperparameters": PIXELCNN,
        "data": {"kind": "image", "shape": [1, 5, 4], "levels": 4},
        "likelihood": {"kind": "categorical", "levels": 4},
        "conditions": [LABEL],
        "input_encoding": "signed",
        "params_layout": "channels-first",
    },
    "tiny-colour": {
        "family": "gated-pixelcnn",
        "hyperparameters": PIXELCNN,
        "data": {"kind": "image", "shape": [3, 3, 4], "levels": 4},
        "likelihood": {"kind": "categorical", "levels": 4},
        "input_encoding": "signed",
        "params_layout": "channels-first",
    },
    "tiny-made": {
        "family": "made",
        "hyperparameters": {"hidden": [12, 12], "order": [4, 2, 0, 5, 1, 3]},
        "data": {"kind": "vector", "shape": [6], "levels": 2},
        "likelihood": {"kind": "bernoulli"},
        "order": [4, 2, 0, 5, 1, 3],
        "input_encoding": "unit",
        "params_layout": "channels-last",
    },
    "tiny-gpt": {
        "family": "image-gpt",
        "hyperparameters": {"layers": 2, "width": 8, "heads": 2},
        "data": {"kind": "image", "shape": [1, 4, 4], "levels": 2},
        "likelihood": {"kind": "bernoulli"},
        "input_encoding": "int",
        "params_layout": "channels-last",
    },
    "tiny-wavernn": {
        "family": "wavernn",
        "hyperparameters": {"width": 6, "hidden": 5, "scales": [2, 3], "features": 5, "blocks": 1},
        "data": {
            "kind": "audio",
            "levels": 16,
            "codec": {"kind": "linear", "levels": 16},
            "sample_rate": 1000,
            "length": {"default": 30, "maximum": 600},
        },
        "likelihood": {"kind": "categorical", "levels": 16},
        "conditions": [
            {"name": "mel", "kind": "series", "channels": 3, "hop": 6, "frames": FRAMES}
        ],
        "order": "time",
        "input_encoding": "signed",
        "params_layout": "channels-last",
    },
    "tiny-chorales": {
        "family": "sparse-transformer",
        "hyperparameters": {"layers": 2, "width": 8, "heads": 2, "stride": 8},
        "data": {
            "kind": "sequence",
            "levels": 128,
            "codec": {"kind": "midi", "voices": 2, "steps": 4},
            "length": {"default": 24, "maximum": 100},
        },
        "likelihood": {"kind": "categorical", "levels": 128},
        "order": "time",
        "input_encoding": "int",
        "params_layout": "channels-last",
    },
    "tiny-wavenet": {
        "family": "wavenet",
        "hyperparameters": {"dilations": [1, 2, 4], "residual": 6, "skip": 8},
        "data": {
            "kind": "audio",
            "levels": 16,
            "codec": MU_LAW,
            "sample_rate": 1000,
            "length": {"default": 30, "maximum": 100},
        },
        "likelihood": {"kind": "categorical", "levels": 16},
        "conditions": [LABEL],
        "order": "time",
        "input_encoding": "int",
        "params_layout": "channels-first",
    },
}


def publish(root: Path, name: str, /, *, replace: bool = False, **changes: Any) -> Path:
    """Save the package `name` of TINY under `root`, with changes, and return its folder."""
    provenance = {"data": "none", "licence": "Apache-2.0", "command": "none"}
    config = {"name": name, "version": 1, "provenance": provenance, **TINY[name], **changes}
    manifest = Manifest.model_validate(config, strict=False)
    torch.manual_seed(0)
    network, _ = build(manifest, root / "model.json")
    with torch.no_grad():
        for parameter in network.parameters():  # far from uniform, so that differences show
            parameter.copy_(torch.randn_like(parameter) * 0.5)
    return save_package(root, manifest, network.module.state_dict(), f"# {name}\n", replace=replace)
