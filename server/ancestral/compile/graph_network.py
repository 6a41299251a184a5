"""A network whose module is a graph: data that was imported, run operator by operator.

`GraphNetwork` says how codes reach the graph and what its output means: the layouts of both, and
whether its params at a position are for that position or the next.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ancestral.compile.capture import capture
from ancestral.compile.functional import pruned, renamed
from ancestral.compile.graph import Graph, Ref
from ancestral.likelihoods.base import Likelihood
from ancestral.models.axes import Layout, rearrange
from ancestral.models.data import DataSpec
from ancestral.models.network import Encoding, Network

Predicts = Literal["same", "next"]
# where an operator's weight is among its arguments, and the axis of its outputs
_MULTIPLIED = {
    "aten.linear": (1, 0),
    "aten.conv1d": (1, 0),
    "aten.conv2d": (1, 0),
    "aten.convolution": (1, 0),
    "aten.conv_transpose1d": (1, 1),
    "aten.conv_transpose2d": (1, 1),
    "aten.mm": (1, -1),
    "aten.matmul": (1, -1),
    "aten.addmm": (2, -1),
}
Start = int | Literal["zeros", "unscored"]


@dataclass(frozen=True)
class Ends:
    """How a graph is read and answered.

    predicts  `same`: params at a position are for it; `next`: for the one after it, and the input
              is shifted by one behind `start`: a code, or zeros in place of its encoding. Under
              `unscored` nothing stands before the first value, whose params are zeros: uniform.
    """

    input: Layout
    params: Layout
    encoding: Encoding
    predicts: Predicts = "same"
    start: Start | None = None
    longest: int | None = None  # sites of an item of open length


class GraphModule(nn.Module):
    """The graph as a module that runs in the precision of its parameters: its real constants."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        for name, tensor in graph.constants.items():
            if tensor.is_floating_point():
                self.register_parameter(name, nn.Parameter(tensor, requires_grad=False))
            else:
                self.register_buffer(name, tensor)
        self._structure = replace(graph, constants={})
        self._in_precision: dict[tuple[torch.dtype, torch.device], Graph] = {}

    @property
    def graph(self) -> Graph:
        """The graph with its constants, in their precision and place."""
        constants = {**dict(self.named_parameters()), **dict(self.named_buffers())}
        first = next(iter(self.parameters()))
        at = (first.dtype, first.device)
        if at not in self._in_precision:
            self._in_precision[at] = self._structure.to(*at)
        found = {name: tensor.detach() for name, tensor in constants.items()}
        return replace(self._in_precision[at], constants=found)

    @property
    def structure(self) -> str:
        """A digest of the operators: what the values depend on beside the weights."""
        return hashlib.sha256(repr(self._structure).encode()).hexdigest()

    def forward(self, *inputs: Tensor) -> Tensor:
        graph = self.graph
        if graph.batched:
            found: Tensor = graph.run(list(inputs))[graph.output]
            return found
        batch = inputs[0].shape[0]
        rows = [
            graph.run([value.expand(batch, *value.shape[1:])[i : i + 1] for value in inputs])
            for i in range(batch)
        ]
        return torch.cat([row[graph.output] for row in rows])


class GraphNetwork(Network):
    """codes [B, …], conditions -> params [B, *grid, D, P], by a graph."""

    module: GraphModule

    def __init__(self, graph: Graph, data: DataSpec, likelihood: Likelihood, ends: Ends) -> None:
        super().__init__(GraphModule(graph), data, ends.encoding, "channels-first", likelihood)
        self.ends = ends
        self.longest = ends.longest

    @property
    def structure(self) -> str:
        return f"{self.module.structure} {self.ends}"

    def products(self) -> Iterator[tuple[Tensor, int]]:
        """The constants that products multiply by, once each, with the axis of their outputs."""
        found: dict[str, int] = {}
        for node in self.module.graph.nodes:
            at, axis = _MULTIPLIED.get(node.packet, (None, 0))
            ref = None if at is None else node.args[at]
            if node.packet == "aten.convolution" and node.args[6]:  # transposed
                axis = 1
            if isinstance(ref, Ref) and ref.name in self.module.graph.constants:
                found.setdefault(ref.name, axis)
        parameters = dict(self.module.named_parameters())
        for name, axis in found.items():
            if name in parameters and parameters[name].dim() > 1:
                yield parameters[name], axis % parameters[name].dim()

    def encode(self, codes: Tensor) -> Tensor:
        ends = self.ends
        before = ends.start if ends.predicts == "next" else None
        if isinstance(before, int):
            codes = self._shifted(codes, before, rank=codes.dim())
        spread = self.spread(codes)
        if before == "zeros":
            spread = self._shifted(spread, 0, rank=codes.dim())
        image = self.data.kind == "image"
        source = Layout.parse(("b c h w" if image else "b t") + " k", "bchwtk")
        if spread.dim() == codes.dim():
            source = Layout(source.groups[:-1])
        return rearrange(spread, source, ends.input, self._sizes(codes, k=spread.shape[-1]))

    def _sizes(self, codes: Tensor, **more: int) -> dict[str, int]:
        grid = codes.shape[2:] if self.data.kind == "image" else codes.shape[1:]
        names = "hw" if self.data.kind == "image" else "t"
        return {**dict(zip(names, grid, strict=True)), "c": self.data.dims_per_site, **more}

    def _shifted(self, values: Tensor, start: int, rank: int) -> Tensor:
        """Values [B, C, H, W, …] or [B, T, …] one position later, the first of them `start`.

        Positions of an image are its pixels, or their channels where those lie on the flat axis.
        """
        if self.data.kind != "image":
            return _later(values, start, 1)
        shape = values.shape
        tail = range(4, values.dim())
        if self._channels_are_positions():
            flat = values.permute(0, 2, 3, 1, *tail).flatten(1, 3)
            back = _later(flat, start, 1).reshape(
                shape[0], shape[2], shape[3], shape[1], *shape[4:]
            )
            return back.permute(0, 3, 1, 2, *tail)
        return _later(values.flatten(2, 3), start, 2).reshape(shape)

    def _channels_are_positions(self) -> bool:
        group = next((g for g in self.ends.input.groups if "h" in g), "")
        return "c" in group and self.data.dims_per_site > 1

    def arrange(self, raw: Tensor, codes: Tensor) -> Tensor:
        image = self.data.kind == "image"
        target = Layout.parse("b h w c p" if image else "b t c p", "bchwtp")
        vectors = self.vectors_per_site
        sizes = self._sizes(codes, p=self.likelihood.n_params) | {"c": vectors}
        if self.ends.start != "unscored" or self.ends.predicts == "same":
            return rearrange(raw, self.ends.params, target, sizes)
        params = rearrange(raw, self.ends.params, target, sizes)
        grid = params.shape[1:-2]
        if self._channels_are_positions() and vectors > 1:
            return _later(params.flatten(1, -2), 0, 1).reshape(params.shape)
        flat = params if len(grid) == 1 else params.flatten(1, len(grid))
        return _later(flat, 0, 1).reshape(params.shape)


def _later(values: Tensor, start: int, axis: int) -> Tensor:
    """Values moved on by one along an axis, `start` in front."""
    behind = values.dim() - 1 - axis
    shifted = F.pad(values, (0, 0) * behind + (1, 0), value=start)
    return shifted.narrow(axis, 0, values.shape[axis])


class _Encode(nn.Module):
    def __init__(self, network: GraphNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, codes: Tensor) -> Tensor:
        return self.network.encode(codes)


class _Arrange(nn.Module):
    def __init__(self, network: GraphNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, raw: Tensor, codes: Tensor) -> Tensor:
        return self.network.arrange(raw, codes)


def whole_graph(
    network: GraphNetwork, example: Sequence[Tensor], dynamic: Sequence[dict[int, str]]
) -> Graph:
    """From codes to params as one graph: the encoding, the imported graph, the arrangement."""
    codes = example[0]
    inner = network.module.graph
    encode = pruned(capture(_Encode(network), (codes,), dynamic[:1]))
    with torch.inference_mode():
        raw = network.module(network.encode(codes), *example[1:]).clone()
    axes = {0: "batch"}
    if 1 in dynamic[0]:
        (at,) = (i for i, group in enumerate(network.ends.params.groups) if "t" in group)
        axes[at] = dynamic[0][1]
    arrange = pruned(capture(_Arrange(network), (raw, codes), [axes, dynamic[0]]))
    return _spliced(_prefixed(encode, "encode"), inner, _prefixed(arrange, "arrange"))


def _prefixed(graph: Graph, prefix: str) -> Graph:
    every = [*graph.inputs, *graph.constants, *(node.name for node in graph.nodes)]
    return renamed(graph, {name: f"{prefix}.{name}" for name in every})


def _spliced(encode: Graph, inner: Graph, arrange: Graph) -> Graph:
    inner = renamed(inner, {inner.inputs[0]: encode.output})
    arrange = renamed(
        arrange, {arrange.inputs[0]: inner.output, arrange.inputs[1]: encode.inputs[0]}
    )
    return replace(
        inner,
        inputs=(encode.inputs[0], *inner.inputs[1:]),
        constants={**encode.constants, **inner.constants, **arrange.constants},
        nodes=(*encode.nodes, *inner.nodes, *arrange.nodes),
        output=arrange.output,
    )
