"""The teacher-forced pass as an ONNX graph: codes and conditions in, params out."""

from __future__ import annotations

from collections.abc import Sequence

import onnx
import torch
from torch import Tensor

from ancestral.compile.graph import Graph
from ancestral.models.data import ConditionSpec, whole_frames
from ancestral.models.network import Network
from ancestral.runtimes.derive import random_condition
from ancestral.runtimes.onnx import rules as rules
from ancestral.runtimes.onnx.writer import Writer

SITES = 48  # of the example of an item of open length, rounded up to whole frames


def forward_graph(
    graph: Graph, network: Network, specs: Sequence[ConditionSpec]
) -> onnx.ModelProto:
    """The graph for any batch (`graph.batched`) and, of items of open length, any length.

    Inputs are `codes` and the conditions by name; the output is `params`. Raises Unwritten naming
    the operator that has no form in ONNX.
    """
    graph = graph.to(torch.float32).folded()
    example = _example(network, specs, 2 if graph.batched else 1)
    names = [node.name for node in graph.nodes]
    found = graph.run(list(example), {*graph.inputs, *names, graph.output})
    writer = Writer(graph.constants, {**graph.constants, **found})
    inputs = {}
    for i, (node, tensor) in enumerate(zip(graph.inputs, example, strict=True)):
        name = "codes" if i == 0 else specs[i - 1].name
        writer.bind(node, name)
        open_ended = not network.data.shape and (i == 0 or specs[i - 1].kind == "series")
        shape: list[str | int] = list(tensor.shape)
        shape[0] = "batch" if graph.batched else 1
        if open_ended:
            shape[-1] = f"{name}_sites"
        inputs[node] = (name, shape)
    for operator in graph.nodes:
        writer.write(operator)
    params = list(found[graph.output].shape)
    ends: list[str | int] = ["batch" if graph.batched else 1, *params[1:]]
    if not network.data.shape:
        ends[1] = "params_sites"
    return writer.model(inputs, {"params": (graph.output, ends)})


def _example(network: Network, specs: Sequence[ConditionSpec], batch: int) -> list[Tensor]:
    data = network.data
    sites = data.sites() if data.shape else whole_frames(SITES, specs)
    sites = min(sites, network.longest or sites)
    shape = (batch, *data.shape) if data.shape else (batch, sites)
    codes = torch.zeros(shape, dtype=torch.int64 if network.likelihood.discrete else torch.float32)
    given = [random_condition(spec, network, sites) for spec in specs]
    each = [c.float() if c.is_floating_point() else c for c in given]
    return [codes, *(c.expand(batch, *c.shape[1:]) for c in each)]
