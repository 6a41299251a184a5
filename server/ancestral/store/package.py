"""Model packages on disk: `NAME/VERSION/{model.json, model.safetensors, README.md}`."""

from __future__ import annotations

import difflib
import math
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ancestral import likelihoods, models
from ancestral.compile.graph import Graph
from ancestral.compile.graph_network import Ends, GraphNetwork
from ancestral.likelihoods.base import Likelihood
from ancestral.models.axes import Layout
from ancestral.models.data import ConditionSpec, DataSpec
from ancestral.models.network import Network
from ancestral.models.rounding import Precision, round_weights
from ancestral.store.errors import PackageError
from ancestral.store.graph_file import graph_text, read_graph
from ancestral.store.manifest import NAME, GraphEnds, Manifest

MANIFEST, WEIGHTS, CARD, GRAPH = "model.json", "model.safetensors", "README.md", "graph.json"
DEFAULT = "default_version"  # a file beside the versions that pins one of them
VERSION = re.compile("[0-9]{1,9}")
_LARGEST_MANIFEST = 16 * 2**20  # bytes


@dataclass(frozen=True)
class Package:
    """A loaded package: the manifest and what it describes, ready to run."""

    path: Path
    manifest: Manifest
    network: Network
    likelihood: Likelihood
    data: DataSpec
    conditions: tuple[ConditionSpec, ...]
    order: npt.NDArray[np.int64] | None  # rank -> position; None: raster, time, or an ensemble
    weights: Precision = "float32"  # to which the network's matrices are rounded

    def for_order(self, name: str) -> Package:
        """An ensemble under one of its orders. Raises KeyError."""
        return replace(
            self,
            manifest=self.manifest.for_order(name),
            network=self.network.for_order(name),
            order=np.asarray(self.manifest.orders[name], dtype=np.int64),
        )


@dataclass(frozen=True)
class Entry:
    """One name in a store: its versions, ascending, and the one that a bare name means."""

    name: str
    versions: tuple[int, ...]
    default: int


def list_packages(root: Path) -> list[Entry]:
    """All names under `root` that hold at least one version. Raises PackageError for a bad pin."""
    if not root.is_dir():
        raise PackageError(root, "there is no such folder of model packages")
    names = sorted(
        folder.name for folder in root.iterdir() if folder.is_dir() and NAME.fullmatch(folder.name)
    )
    entries = []
    for name in names:
        versions = tuple(_versions(root / name))
        if versions:
            entries.append(Entry(name, versions, _default(root / name, versions)))
    return entries


def find(name: str, root: Path, version: int | None = None) -> Path:
    """The folder of `NAME` or `NAME/VERSION`: the version asked for, the pinned, or the highest.

    Raises PackageError for an unknown name or version.
    """
    base, _, suffix = name.partition("/")
    if not NAME.fullmatch(base) or (suffix and not VERSION.fullmatch(suffix)):
        raise PackageError(root, f"{name!r} is not the name of a model")
    if suffix:
        version = int(suffix)
    folder = root / base
    versions = _versions(folder) if folder.is_dir() else []
    if not versions:
        known = [entry.name for entry in list_packages(root)]
        near = "".join(f"perhaps {n!r}; " for n in difflib.get_close_matches(base, known, n=1))
        there = ", ".join(known) or "none"
        raise PackageError(root, f"there is no model {base!r}; {near}there are: {there}")
    wanted = _default(folder, versions) if version is None else version
    if wanted not in versions:
        known = ", ".join(map(str, versions))
        raise PackageError(folder, f"there is no version {wanted}; there are: {known}")
    return folder / str(wanted)


def _versions(folder: Path) -> list[int]:
    return sorted(
        int(child.name)
        for child in folder.iterdir()
        if child.name.isdecimal() and str(int(child.name)) == child.name and child.is_dir()
    )


def _default(folder: Path, versions: Sequence[int]) -> int:
    pin = folder / DEFAULT
    if not pin.exists():
        return versions[-1]
    text = pin.read_text(encoding="utf-8").strip()
    if not text.isdecimal() or int(text) not in versions:
        raise PackageError(pin, f"pins version {text!r}, which is not there")
    return int(text)


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
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise PackageError(file, f"{where}: {first['msg']}{more}") from error
    if path.name.isdecimal() and (path.parent.name, path.name) != (
        manifest.name,
        str(manifest.version),
    ):
        raise PackageError(
            file,
            f"calls itself {manifest.name}/{manifest.version}, "
            f"but lies in {path.parent.name}/{path.name}",
        )
    return manifest


def build(manifest: Manifest, file: Path, graph: Graph | None = None) -> tuple[Network, Likelihood]:
    """The network that the manifest describes, not yet with its weights; errors name `file`.

    A graph is read from beside the manifest unless it is given.
    """
    try:
        likelihood = likelihoods.from_config(manifest.likelihood)
    except (ValueError, TypeError, KeyError) as error:
        raise PackageError(file, f"likelihood: {error}") from error
    network: Network
    if manifest.graph is not None:
        network = _graph_network(manifest, manifest.graph, likelihood, file, graph)
    else:
        network = _family_network(manifest, likelihood, file)
    orders = {name: tuple(order.tolist()) for name, order in network.orders.items()}
    if orders != manifest.orders:
        raise PackageError(file, f"orders are not those of the network: {', '.join(orders)}")
    network.eval()
    _dry_run(network, [condition.spec for condition in manifest.conditions], file)
    return network, likelihood


def _family_network(manifest: Manifest, likelihood: Likelihood, file: Path) -> Network:
    if manifest.family not in models.FAMILIES:
        known = ", ".join(sorted(models.FAMILIES))
        raise PackageError(file, f"unknown family {manifest.family!r}; known: {known}, graph")
    try:
        return models.build(
            manifest.family,
            manifest.hyperparameters,
            manifest.data.spec,
            likelihood,
            [condition.spec for condition in manifest.conditions],
            encoding=manifest.input_encoding,
            params_layout=manifest.params_layout,
        )
    except (ValueError, TypeError, RuntimeError, KeyError) as error:
        raise PackageError(file, f"hyperparameters of {manifest.family}: {error}") from error


def _graph_network(
    manifest: Manifest,
    described: GraphEnds,
    likelihood: Likelihood,
    file: Path,
    graph: Graph | None,
) -> GraphNetwork:
    graph = read_graph(file.parent / GRAPH) if graph is None else graph
    if len(graph.inputs) != 1 + len(manifest.conditions):
        raise PackageError(
            file, f"{len(manifest.conditions)} conditions for a graph with inputs {graph.inputs}"
        )
    length = manifest.data.length
    ends = Ends(
        Layout.parse(described.input_layout, "bchwtk"),
        Layout.parse(described.params_layout, "bchwtp"),
        manifest.input_encoding,
        manifest.predicts,
        described.start,
        None if length is None else length.maximum,
    )
    try:
        return GraphNetwork(graph, manifest.data.spec, likelihood, ends)
    except (ValueError, KeyError) as error:
        raise PackageError(file, str(error)) from error


_DRY_SITES = 4  # of an item of open length


def _dry_run(network: Network, conditions: Sequence[ConditionSpec], file: Path) -> None:
    """One pass over zeros: the manifest's data, conditions and likelihood must fit the family."""
    data = network.data
    hops = [condition.hop for condition in conditions]
    shape = data.shape or (math.lcm(_DRY_SITES, *hops),)
    grid = shape[1:] if data.kind == "image" else shape
    codes = torch.zeros((1, *shape), dtype=torch.int64 if data.levels else torch.float32)
    inputs = [
        torch.zeros(1, dtype=torch.int64)
        if condition.kind == "label"
        else torch.zeros(1, condition.channels or 1, *_frames(condition, grid))
        for condition in conditions
    ]
    try:
        with torch.inference_mode():
            network(codes, *inputs)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        reason = str(error).splitlines()[0]
        raise PackageError(file, f"the parts do not fit each other: {reason}") from error


def _frames(condition: ConditionSpec, grid: Sequence[int]) -> Sequence[int]:
    return [-(-grid[0] // condition.hop)] if condition.kind == "series" else grid


def load_package(path: Path | str, weights: Precision | None = None) -> Package:
    """Load the package folder `path`, every tensor checked. Raises PackageError naming the file.

    `weights` is the precision of its matrices, the manifest's where None; see `models.rounding`.
    """
    path = Path(path)
    manifest = read_manifest(path)
    network, likelihood = build(manifest, path / MANIFEST)
    load_weights(network, path / WEIGHTS)
    weights = weights or manifest.weights or "float32"
    round_weights(network, weights)
    order = manifest.permutation
    return Package(
        path=path,
        manifest=manifest,
        network=network,
        likelihood=likelihood,
        data=manifest.data.spec,
        conditions=tuple(condition.spec for condition in manifest.conditions),
        order=None if order is None else np.asarray(order, dtype=np.int64),
        weights=weights,
    )


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


def manifest_text(manifest: Manifest) -> str:
    """The manifest as it is stored; keys that hold nothing are left out."""
    return manifest.model_dump_json(indent=2, exclude_none=True) + "\n"
