"""A module's graph, from `torch.export` or `ancestral.export`, into a model package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from ancestral.compile import CausalityError, CompileError, ParityError
from ancestral.compile.fold import folded_weights
from ancestral.compile.functional import functionalised, renamed, run_in_order
from ancestral.compile.graph import Graph, Node, Ref
from ancestral.compile.graph_network import Ends, GraphNetwork
from ancestral.compile.rebatch import at_any_batch
from ancestral.faults import first_fault
from ancestral.likelihoods import Likelihood, to_config
from ancestral.media.codecs import MuLaw, lost_in_int16
from ancestral.models.data import ConditionSpec, DataSpec
from ancestral.runtimes.derive import derive
from ancestral.runtimes.perturb import prove_by_change
from ancestral.store.ends import ends_of
from ancestral.store.errors import PackageError
from ancestral.store.manifest import Manifest
from ancestral.store.options import (
    Options,
    condition_specs,
    data_spec,
    likelihood_of,
    order_of,
    split_conditions,
)
from ancestral.store.package import build
from ancestral.store.pt2 import Exported, Meta
from ancestral.store.publish import save_package

_MU_LAW_LEVELS = 1024  # more are linear
_SECONDS = 60  # the most of a sound, unless told


@dataclass(frozen=True)
class Imported:
    """The package's folder, and what its owner should know of it."""

    path: Path
    warning: str | None


def import_graph(exported: Exported, file: Path, root: Path, options: Options) -> Imported:
    """Publish an exported program as a package `root/NAME/VERSION`.

    Raises PackageError naming the file for what does not fit, ValueError naming the flag for what
    is not told, CausalityError with the path where the network reads its future, CompileError for
    an operator that a package may not hold or a module in training mode.
    """
    data = data_spec(options)
    likelihood = likelihood_of(options, data)
    graph, specs, metas = _prepared(exported, condition_specs(options), file)
    ends = ends_of(metas, data, likelihood, options, exported.limits)
    manifest = _manifest(file, options, data, likelihood, ends, specs)
    try:
        network, _ = build(manifest, file, graph)
    except PackageError as error:
        if data.shape or not _of_one_length(metas[0]):
            raise
        raise PackageError(
            file,
            f"the module was exported for inputs of sizes {list(metas[0].sizes)} alone: give its "
            'positions a Dim("time") in dynamic_shapes, or import it as --data vector '
            f"({error.message})",
        ) from error
    assert isinstance(network, GraphNetwork)
    order = manifest.order
    warning = _derived(network, [c.spec for c in manifest.conditions], order)
    path = save_package(
        root, manifest, graph.constants, card(manifest, file, warning), graph=network.module.graph
    )
    return Imported(path, warning)


def _prepared(
    exported: Exported, named: Mapping[str, ConditionSpec], file: Path
) -> tuple[Graph, list[ConditionSpec], list[Meta]]:
    """The graph as it will be stored, the conditions in its order, and what its ends are like."""
    inputs = exported.graph.inputs
    codes = split_conditions(inputs, named)
    example = [_example(exported, name, named.get(name)) for name in inputs]
    graph = functionalised(exported.graph, example)
    graph = folded_weights(graph)
    if not any(tensor.is_floating_point() for tensor in graph.constants.values()):
        raise PackageError(file, "the graph holds no weights")
    at = dict(zip(inputs, example, strict=True))
    specs = [named[name] for name in inputs if name != codes]
    for spec in specs:
        if spec.kind == "label" and exported.metas[spec.name].dtype.is_floating_point:
            graph = _label_as_one_hot(graph, spec, exported.metas[spec.name])
            at[spec.name] = at[spec.name].argmax(-1)
    graph = replace(graph, inputs=(codes, *(spec.name for spec in specs)))
    given = [at[name] for name in graph.inputs]
    output = graph.run(given)[graph.output]
    _same(exported.graph, example, output, file)
    graph = at_any_batch(graph, given)
    metas = [exported.metas[codes], _output_meta(exported, output)]
    return graph, specs, metas


def _label_as_one_hot(graph: Graph, spec: ConditionSpec, meta: Meta) -> Graph:
    """The label as a whole number, for a module that reads a one for its class, zeros elsewhere."""
    if len(meta.sizes) != 2 or meta.sizes[1] != spec.classes:
        raise ValueError(
            f"--condition {spec.name}: a label is a whole number for each item, or one-hot "
            f"[batch, {spec.classes}]; the module reads {list(meta.sizes)}"
        )
    codes, hot = f"{spec.name}_codes", f"{spec.name}_one_hot"
    graph = renamed(graph, {spec.name: hot})
    first = (
        Node(codes, "aten.one_hot.default", (Ref(spec.name), spec.classes)),
        Node(hot, "aten.to.dtype", (Ref(codes), torch.float32)),
    )
    return replace(graph, nodes=(*first, *graph.nodes))


def _of_one_length(meta: Meta) -> bool:
    return all(isinstance(size, int) for size in meta.sizes[1:])


def _output_meta(exported: Exported, output: Tensor) -> Meta:
    found = exported.metas.get(exported.graph.output)
    return Meta(output.dtype, tuple(output.shape)) if found is None else found


def _example(exported: Exported, name: str, spec: ConditionSpec | None) -> Tensor:
    """A random input of the exported sizes; integers are 0 and 1, which every table has."""
    meta = exported.metas[name]
    sizes = [exported.hints.get(s, 2) if isinstance(s, str) else s for s in meta.sizes]
    generator = torch.Generator().manual_seed(0)
    if meta.dtype.is_floating_point and spec is not None and spec.kind == "label":
        return torch.eye(sizes[-1]).expand(*sizes[:-1], -1, -1)[..., 0, :].contiguous()
    if meta.dtype.is_floating_point:
        return torch.randn(sizes, generator=generator, dtype=torch.float32)
    most = 2 if spec is None else min(2, spec.classes or 2)
    return torch.randint(most, sizes, generator=generator).to(meta.dtype)


def _same(original: Graph, example: Sequence[Tensor], found: Tensor, file: Path) -> None:
    """The graph without writes, its weights folded, gives what the program as exported gives."""
    wanted = run_in_order(original, example)[original.output].float()
    scale = max(1.0, float(wanted.abs().max()))
    if found.shape != wanted.shape or not torch.allclose(
        found, wanted, rtol=1e-4, atol=1e-4 * scale, equal_nan=True
    ):
        raise PackageError(file, "the graph cannot be rewritten without in-place operators")


def _derived(network: GraphNetwork, specs: Sequence[ConditionSpec], order: Any) -> str | None:
    """Derive the sampler once, with its checks; what is not derived is proved causal by trial."""
    ranks = None if isinstance(order, str) else torch.tensor(order).numpy()
    try:
        derive(network, specs, ranks)
    except (CausalityError, ParityError):
        raise
    except CompileError as error:
        prove_by_change(network, specs, ranks)
        passes = network.data.sites() if network.data.shape else "as many as it has sites"
        return (
            f"{error}. The model is served by its forward pass: scoring is as fast as ever, "
            f"sampling an item takes {passes} forward passes"
            + ("" if network.likelihood.joint or network.data.dims_per_site == 1
               else f" for each of its {network.data.dims_per_site} channels")
        )  # fmt: skip
    return None


def _manifest(
    file: Path,
    options: Options,
    data: DataSpec,
    likelihood: Likelihood,
    ends: Ends,
    specs: Sequence[ConditionSpec],
) -> Manifest:
    described: dict[str, Any] = {
        "kind": data.kind, "shape": data.shape, "levels": data.levels,
        "sample_rate": data.sample_rate,
    }  # fmt: skip
    if not data.shape:
        rate = data.sample_rate or 0
        most = ends.longest or (rate * _SECONDS if rate else 4096)
        described["length"] = {"default": min(most, rate or 256), "maximum": most}
    if data.kind == "audio":
        if data.levels is None:
            raise ValueError("--levels: give it for audio")
        described["codec"] = _codec(data.levels)
    provenance = {
        "data": options.trained_on,
        "licence": options.licence,
        "command": f"ancestral import {file.name} {options.flags()}",
    }
    try:
        return Manifest.model_validate(
            {
                "name": options.name,
                "version": options.version,
                "family": "graph",
                "data": described,
                "likelihood": to_config(likelihood),
                "conditions": [
                    {"name": s.name, "kind": s.kind, "classes": s.classes, "channels": s.channels,
                     "hop": s.hop, "names": s.names}
                    for s in specs
                ],
                "order": order_of(options, data),
                "predicts": ends.predicts,
                "input_encoding": ends.encoding,
                "graph": {
                    "input_layout": str(ends.input),
                    "params_layout": str(ends.params),
                    "start": ends.start,
                },
                "provenance": provenance,
            },
            strict=False,
        )  # fmt: skip
    except ValidationError as error:
        raise PackageError(file, first_fault(error)) from error


def _codec(levels: int) -> dict[str, Any]:
    if levels > _MU_LAW_LEVELS:
        return {"kind": "linear", "levels": levels}
    lost = lost_in_int16(MuLaw(levels - 1, levels, "nearest", "grid"))
    return {
        "kind": "mu-law", "mu": levels - 1, "levels": levels, "rounding": "nearest",
        "decode_points": "grid", "survives_int16": not lost,
    }  # fmt: skip


def card(manifest: Manifest, file: Path, warning: str | None) -> str:
    """The model card of an imported graph."""
    provenance = manifest.provenance
    how = "Its sampler is derived from the graph." if warning is None else f"Note: {warning}."
    return f"""---
license: {provenance.licence}
tags: [autoregressive, graph]
datasets: [{provenance.data}]
---
# {manifest.name}

A module's graph, imported from `{file.name}`.

    {provenance.command}

{how}

There are no reference scores yet: `ancestral calibrate {manifest.name} --data DIR` makes them.
"""
