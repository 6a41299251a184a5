"""Checkpoints of others on disk: tensors by name and the settings beside them, never code.

A file is read by torch's weights-only loader (tensors and plain containers; anything else is
refused, never unpickled), as safetensors or as numpy's .npz, without objects; a Hugging Face folder
by its config.json, preprocessor_config.json and model.safetensors. Folders of raw tensors and
libwavernn's files are read by `raw` and `libwavernn`.
"""

from __future__ import annotations

import json
import pickle
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ancestral.store.errors import PackageError
from ancestral.store.libwavernn import is_libwavernn, read_file
from ancestral.store.raw import MANIFEST, read_folder

# Hyper-parameters of training frameworks: mappings, read as such without their classes' code.
_MAPPINGS = (
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "lightning.pytorch.utilities.parsing.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "lightning.fabric.utilities.data.AttributeDict",
)
_WEIGHT_NORM = (  # how names of the length g and of the direction v end
    (".weight_g", ".weight_v"),
    (".parametrizations.weight.original0", ".parametrizations.weight.original1"),
)
_SETTINGS = ("preprocessor_config.json", "config.json")  # of a folder; the last one wins


@dataclass(frozen=True)
class Checkpoint:
    """What was read: `config` is empty where the checkpoint is a file of tensors."""

    state: dict[str, Tensor]
    config: dict[str, Any] = field(default_factory=dict)


def read_checkpoint(path: Path) -> Checkpoint:
    """A state dict, also where it lies under `state_dict` (Lightning), in plain names.

    A `module.` before every name (data parallel training) is taken off, and weight norm's
    direction and length are multiplied out. Raises PackageError for what is no such file or
    holds more than tensors and plain containers.
    """
    if (path / MANIFEST).is_file():
        return Checkpoint(*read_folder(path))
    if path.is_file() and is_libwavernn(path):
        return Checkpoint(*read_file(path))
    if path.is_dir():
        config: dict[str, Any] = {}
        for name in _SETTINGS:
            config |= _read_json(path / name, required=name == "config.json")
        return Checkpoint(plain(read_state(path / "model.safetensors")), config)
    return Checkpoint(plain(read_state(path)))


def read_state(file: Path) -> dict[str, Tensor]:
    """The tensors of a file, by the names they have there; see `read_checkpoint`."""
    try:
        if file.suffix == ".safetensors":
            loaded: Any = load_file(file)
        elif file.suffix == ".npz":
            loaded = _read_npz(file)
        else:
            with torch.serialization.safe_globals([(OrderedDict, name) for name in _MAPPINGS]):
                loaded = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise PackageError(
            file, "is no checkpoint, or holds more than tensors and plain containers: not unpickled"
        ) from error
    except (
        OSError,
        RuntimeError,
        EOFError,
        ValueError,
        KeyError,
        TypeError,
        BadZipFile,
        SafetensorError,
    ) as error:
        raise PackageError(file, f"cannot be read: {str(error).splitlines()[0]}") from error
    state = loaded.get("state_dict", loaded) if isinstance(loaded, Mapping) else None
    if not isinstance(state, Mapping) or not state:
        raise PackageError(file, "holds no state dict")
    for name, tensor in state.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise PackageError(file, f"{name!r} is not a named tensor")
        if not bool(torch.isfinite(tensor).all()):
            raise PackageError(file, f"tensor {name} holds NaN or infinite values")
    return dict(state)


def _read_npz(file: Path) -> dict[str, Tensor]:
    with file.open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
        found = {}
        for name in arrays:
            try:
                found[name] = torch.from_numpy(arrays[name])
            except ValueError as error:  # numpy's word for an array of objects
                raise pickle.UnpicklingError from error
    return found


def plain(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state without `module.` before its names, weight norm multiplied out.

    w = g v / |v| (Salimans and Kingma 2016, equation 2), the norm over all axes but the first; in
    the names of torch.nn.utils.weight_norm and of torch.nn.utils.parametrizations.
    """
    if all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    found = dict(state)
    for name, direction in state.items():
        for length_suffix, suffix in _WEIGHT_NORM:
            length = name.removesuffix(suffix) + length_suffix
            if name.endswith(suffix) and length in state:
                norm = torch.linalg.vector_norm(direction.flatten(1), dim=1)
                norm = norm.reshape(-1, *[1] * (direction.dim() - 1))
                found[name.removesuffix(suffix) + ".weight"] = state[length] * direction / norm
                del found[name], found[length]
    return found


def _read_json(file: Path, *, required: bool) -> dict[str, Any]:
    if not required and not file.exists():
        return {}
    try:
        document = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise PackageError(file, f"cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise PackageError(file, "is no JSON object")
    return document
