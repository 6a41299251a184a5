"""The files of a package folder, read with every field and tensor checked."""

from __future__ import annotations

from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open

from ancestral.compile.graph_network import GraphNetwork
from ancestral.faults import first_fault
from ancestral.models.network import Network
from ancestral.store.errors import PackageError
from ancestral.store.manifest import Manifest

MANIFEST, WEIGHTS, CARD, GRAPH = "model.json", "model.safetensors", "README.md", "graph.json"
_LARGEST_MANIFEST = 16 * 2**20  # bytes


def read_manifest(path: Path) -> Manifest:
    """The manifest of the package folder `path`. Raises PackageError naming the file and field."""
    file = path / MANIFEST
    try:
        if file.stat().st_size > _LARGEST_MANIFEST:
            raise PackageError(file, f"larger than {_LARGEST_MANIFEST} bytes")
        text = file.read_bytes()
    except OSError as error:
        raise PackageError(file, f"cannot be read: {error.strerror}") from error
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        raise PackageError(file, first_fault(error)) from error
    if path.name.isdecimal() and (path.parent.name, path.name) != (
        manifest.name,
        str(manifest.version),
    ):
        raise PackageError(
            file,
            f"calls itself {manifest.label}, but lies in {path.parent.name}/{path.name}",
        )
    return manifest


def manifest_text(manifest: Manifest) -> str:
    """The manifest as it is stored; keys that hold nothing are left out."""
    return manifest.model_dump_json(indent=2, exclude_none=True) + "\n"


def load_weights(network: Network, file: Path) -> None:
    """Fill the network from a safetensors file whose names are those of the family's module.

    float16 and bfloat16 are widened to float32. Raises PackageError for a file that is broken, or
    tensors that are missing, unexpected, of another shape or type, NaN or infinite.
    """
    wanted = network.module.state_dict()
    masks = isinstance(network, GraphNetwork)  # constants of a graph may hold −inf
    tensors: dict[str, torch.Tensor] = {}
    try:
        with safe_open(file, framework="pt") as stored:
            names = set(stored.keys())
            _compare_names(names, set(wanted), file)
            for name in sorted(names):
                tensors[name] = _checked(
                    stored.get_tensor(name), wanted[name], name, file, infinite=masks
                )
    except (OSError, SafetensorError) as error:
        raise PackageError(file, f"cannot be read: {error}") from error
    network.module.load_state_dict(tensors, assign=True)
    network.requires_grad_(False)


def _compare_names(found: set[str], wanted: set[str], file: Path) -> None:
    for names, what in ((wanted - found, "missing"), (found - wanted, "unexpected")):
        if names:
            first = ", ".join(sorted(names)[:3])
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise PackageError(file, f"{what} tensor {first}{more}")


def _checked(
    found: torch.Tensor, wanted: torch.Tensor, name: str, file: Path, *, infinite: bool = False
) -> torch.Tensor:
    if found.shape != wanted.shape:
        raise PackageError(
            file,
            f"tensor {name} has shape {list(found.shape)} where {list(wanted.shape)} is expected",
        )
    if found.is_floating_point() != wanted.is_floating_point():
        raise PackageError(file, f"tensor {name} is {found.dtype} where {wanted.dtype} is expected")
    if not bool((~torch.isnan(found) if infinite else torch.isfinite(found)).all()):
        raise PackageError(file, f"tensor {name} holds NaN or infinite values")
    return found.to(wanted.dtype)
