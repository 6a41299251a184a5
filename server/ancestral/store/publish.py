"""Publish a package: written beside its place, checked, then renamed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file

from ancestral.compile.graph import Graph
from ancestral.store.errors import PackageError
from ancestral.store.files import CARD, GRAPH, MANIFEST, WEIGHTS, manifest_text
from ancestral.store.graph_file import graph_text
from ancestral.store.manifest import Manifest
from ancestral.store.package import load_package


def save_package(
    root: Path,
    manifest: Manifest,
    tensors: Mapping[str, torch.Tensor],
    card: str,
    *,
    dtype: torch.dtype | None = None,
    replace: bool = False,
    graph: Graph | None = None,
) -> Path:
    """Publish a package as `root/NAME/VERSION`: written beside it, checked, then renamed.

    `tensors` are the state dict of the family's module; `dtype` (e.g. float16) is that of the
    stored floating-point ones. Raises PackageError where the version exists (unless `replace`) or
    what was written does not load.
    """
    target = root / manifest.name / str(manifest.version)
    if target.exists() and not replace:
        raise PackageError(target, "this version exists already")
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{manifest.version}-", dir=target.parent))
    try:
        staging.chmod(0o755)
        stored = {
            name: tensor.detach()
            .to("cpu", dtype if tensor.is_floating_point() else None)
            .contiguous()
            .clone()
            for name, tensor in tensors.items()
        }
        save_file(stored, staging / WEIGHTS)
        (staging / WEIGHTS).chmod(0o644)  # safetensors writes for the owner alone
        (staging / MANIFEST).write_text(manifest_text(manifest), encoding="utf-8")
        if graph is not None:
            (staging / GRAPH).write_text(graph_text(graph), encoding="utf-8")
        (staging / CARD).write_text(card, encoding="utf-8")
        load_package(staging)
        _publish(staging, target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target


def _publish(staging: Path, target: Path) -> None:
    if not target.exists():
        os.rename(staging, target)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}-old-", dir=target.parent))
    os.rename(target, old / target.name)
    os.rename(staging, target)
    shutil.rmtree(old)
