"""`ancestral import`: a published checkpoint, once and offline, into a model package.

The result is proved causal before it is published.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor

from ancestral.faults import first_fault
from ancestral.models.network import Network
from ancestral.runtimes.derive import derive
from ancestral.store.checkpoint import read_checkpoint
from ancestral.store.errors import PackageError
from ancestral.store.layouts import Layout, LayoutError, convert, recognise
from ancestral.store.manifest import Manifest
from ancestral.store.package import build
from ancestral.store.publish import save_package
from ancestral.store.published import LAYOUTS


@dataclass(frozen=True)
class Told:
    """What the file does not hold; each is asked for by name where the layout needs it."""

    name: str
    version: int = 1
    dilations: Sequence[int] | None = None
    shape: Sequence[int] | None = None  # image (C, H, W)
    sample_rate: int | None = None  # Hz
    heads: int | None = None  # of attention
    alphabet: str | None = None  # characters in the order of their codes
    data: str = "unknown"  # what it was trained on
    licence: str = "unknown"


def import_checkpoint(file: Path, root: Path, told: Told) -> Path:
    """Convert `file` into the package `root/NAME/VERSION` and give its folder.

    Raises PackageError for anything that does not fit, and the compiler's CausalityError, with the
    path, where the network reads its future.
    """
    checkpoint = read_checkpoint(file)
    try:
        layout = recognise(checkpoint.state, LAYOUTS)
        described, tensors = convert(checkpoint, layout, told)
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
    if told.heads:
        flags.append(f"--heads {told.heads}")
    if told.alphabet:
        flags.append(f"--alphabet {shlex.quote(told.alphabet)}")
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
        raise PackageError(file, first_fault(error)) from error


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
