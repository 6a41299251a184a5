"""Networks of published sizes with random weights, to be timed without a package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from ancestral.engine.model import Model
from ancestral.models.rounding import Precision, round_weights
from ancestral.store.manifest import Manifest
from ancestral.store.package import Package, build

_MU_LAW = {
    "kind": "mu-law",
    "mu": 255,
    "levels": 256,
    "rounding": "nearest",
    "decode_points": "grid",
}
_CATEGORICAL = {"kind": "categorical", "levels": 256}

NETWORKS: dict[str, dict[str, Any]] = {
    "wavenet-30": {  # 1.24 million multiply-adds a sample
        "family": "wavenet",
        "hyperparameters": {
            "dilations": [2**k for k in range(10)] * 3,
            "residual": 64,
            "gate": 64,  # of each half: 128 together
            "skip": 256,
        },
        "data": {
            "kind": "audio",
            "levels": 256,
            "codec": _MU_LAW,
            "sample_rate": 16000,
            "length": {"default": 16000, "maximum": 160000},
        },
        "likelihood": _CATEGORICAL,
        "order": "time",
        "input_encoding": "int",
        "params_layout": "channels-first",
    },
    "gated-pixelcnn-28": {
        "family": "gated-pixelcnn",
        "hyperparameters": {"channels": 64, "dilations": [1] * 7},
        "data": {"kind": "image", "shape": [1, 28, 28], "levels": 256},
        "likelihood": _CATEGORICAL,
        "input_encoding": "signed",
        "params_layout": "channels-first",
    },
    "pixelcnn-pp-32": {
        "family": "pixelcnn-pp",
        "hyperparameters": {"channels": 40, "layers": 5, "scales": 3},
        "data": {"kind": "image", "shape": [3, 32, 32], "levels": 256},
        "likelihood": {
            "kind": "discretized-logistic-mixture",
            "components": 10,
            "channels": 3,
            "levels": 256,
        },
        "input_encoding": "signed",
        "params_layout": "channels-first",
    },
    "image-gpt-512": {
        "family": "image-gpt",
        "hyperparameters": {"layers": 8, "width": 512, "heads": 8},
        "data": {"kind": "image", "shape": [1, 32, 32], "levels": 512},
        "likelihood": {"kind": "categorical", "levels": 512},
        "input_encoding": "int",
        "params_layout": "channels-last",
    },
}


def network(name: str, weights: Precision = "float32", seed: int = 0) -> Model:
    """One of `NETWORKS`, its weights as the family initialises them, then rounded to `weights`.

    Raises ValueError.
    """
    if name not in NETWORKS:
        raise ValueError(f"there is no network {name!r}: known are {', '.join(NETWORKS)}")
    manifest = Manifest.model_validate_json(
        json.dumps(
            {
                "name": name,
                "version": 1,
                **NETWORKS[name],
                "provenance": {"data": "none", "licence": "none", "command": "random weights"},
            }
        )
    )
    torch.manual_seed(seed)
    file = Path(name)
    built, likelihood = build(manifest, file)
    round_weights(built, weights)
    specs = tuple(condition.spec for condition in manifest.conditions)
    return Model(
        Package(file, manifest, built, likelihood, manifest.data.spec, specs, None, weights)
    )
