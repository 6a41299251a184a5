"""`ancestral import`: a published checkpoint, once and offline, into a model package.

The file is read by torch's weights-only loader (tensors and plain containers; anything else is
refused, never unpickled) or as safetensors. The result is proved causal before it is published.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ancestral.models.network import Network
from ancestral.runtimes.derive import derive
from ancestral.store.errors import PackageError
from ancestral.store.layouts import Layout, LayoutError, convert, recognise
from ancestral.store.manifest import Manifest
from ancestral.store.package import build, save_package
from ancestral.store.published import LAYOUTS


@dataclass(frozen=True)
class Told:
    """What the file does not hold; each is asked for by name where the layout needs it."""

    name: str
    version: int = 1
    dilations: Sequence[int] | None = None
    shape: Sequence[int] | None = None  # image (C, H, W)
    sample_rate: int | None = None  # Hz
    data: str = "unknown"  # what it was trained on
    licence: str = "unknown"


def read_state(file: Path) -> dict[str, Tensor]:
    """The state dict of a checkpoint, also where it lies under `state_dict` (Lightning).

    Raises PackageError for what is no such file or holds more than tensors and plain containers.
    """
    try:
        if file.suffix == ".safetensors":
            loaded: Any = load_file(file)
        else:
            loaded = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise PackageError(
            file, "holds more than tensors and plain containers, and is not unpickled"
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, SafetensorError) as error:
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


def import_checkpoint(file: Path, root: Path, told: Told) -> Path:
    """Convert `file` into the package `root/NAME/VERSION` and give its folder.

    Raises PackageError for anything that does not fit, and the compiler's CausalityError, with the
    path, where the network reads its future.
    """
    state = read_state(file)
    try:
        layout = recognise(state, LAYOUTS)
        described, tensors = convert(state, layout, told)
    except LayoutError as error:
        raise PackageError(file, str(error)) from error
    manifest = _manifest(file, layout, described, told)
    network, _ = build(manifest, file)
    _prove(network, tensors, manifest)
    return save_package(root, manifest, tensors, card(manifest, layout))


def _prove(network: Network, tensors: Mapping[str, Tensor], manifest: Manifest) -> None:
    """Derive the sampler once, with its checks of causality and parity."""
    network.module.load_state_dict(dict(tensors))
    derive(network, [condition.spec for condition in manifest.conditions])


def _manifest(file: Path, layout: Layout, described: Mapping[str, Any], told: Told) -> Manifest:
    flags = [f"--name {told.name}"]
    if told.dilations:
        flags.append("--dilations " + ",".join(map(str, told.dilations)))
    if told.shape:
        flags.append("--shape " + ",".join(map(str, told.shape)))
    if told.sample_rate:
        flags.append(f"--sample-rate {told.sample_rate}")
    provenance = {
        "data": told.data,
        "licence": told.licence,
        "command": f"ancestral import {file.name} {' '.join(flags)}",
    }
    try:
        return Manifest.model_validate(
            {
                "name": told.name,
                "version": told.version,
                "family": layout.family,
                "provenance": provenance,
                **described,
            },
            strict=False,
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "manifest"
        raise PackageError(file, f"{where}: {first['msg']}") from error


def card(manifest: Manifest, layout: Layout) -> str:
    """The model card of an imported package."""
    provenance = manifest.provenance
    return f"""---
license: {provenance.licence}
tags: [autoregressive, {manifest.family}]
datasets: [{provenance.data}]
---
# {manifest.name}

Imported by `{provenance.command}` from a published checkpoint: {layout.origin}.

There are no reference scores yet: `ancestral calibrate {manifest.name} --data DIR` makes them.
"""
