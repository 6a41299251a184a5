"""Folders of raw tensors, as the TensorFlow exporter of deeplearn.js (later ml5) writes them.

`manifest.json` gives each tensor's file and shape; a file is little-endian float32. `vocab.json`,
where there is one, numbers the characters.
"""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ancestral.store.errors import PackageError

MANIFEST = "manifest.json"


def read_folder(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors by their names in TensorFlow, and {"vocabulary": {character: code}} or {}."""
    entries = _json(path / MANIFEST)
    state: dict[str, Tensor] = {}
    for name, entry in entries.items():
        try:
            file, shape = str(entry["filename"]), [int(size) for size in entry["shape"]]
        except (KeyError, TypeError, ValueError) as error:
            raise PackageError(path / MANIFEST, f"{name}: no filename and shape") from error
        if Path(file).name != file:
            raise PackageError(path / MANIFEST, f"{name}: {file!r} is not a file of the folder")
        state[name] = _tensor(path / file, shape)
    vocabulary = path / "vocab.json"
    return state, {"vocabulary": _json(vocabulary)} if vocabulary.exists() else {}


def _tensor(file: Path, shape: list[int]) -> Tensor:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise PackageError(file, f"cannot be read: {error.strerror}") from error
    if min(shape, default=1) < 1 or len(content) != 4 * prod(shape):
        raise PackageError(file, f"holds {len(content)} bytes, not float32 of shape {shape}")
    values = np.frombuffer(content, dtype="<f4").astype(np.float32)
    if not np.isfinite(values).all():
        raise PackageError(file, "holds NaN or infinite values")
    return torch.from_numpy(values.reshape(shape))


def _json(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise PackageError(file, f"cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise PackageError(file, "is no JSON object")
    return document
