"""Model packages: the manifest, and the network, likelihood and order that it describes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from ancestral import likelihoods, models
from ancestral.compile.graph import Graph
from ancestral.compile.graph_network import Ends, GraphNetwork
from ancestral.likelihoods.base import Likelihood
from ancestral.models.axes import Layout
from ancestral.models.data import ConditionSpec, DataSpec
from ancestral.models.network import Network
from ancestral.models.rounding import Precision, round_weights
from ancestral.store.errors import PackageError
from ancestral.store.files import GRAPH, MANIFEST, WEIGHTS, load_weights, read_manifest
from ancestral.store.graph_file import read_graph
from ancestral.store.manifest import GraphEnds, Manifest


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
