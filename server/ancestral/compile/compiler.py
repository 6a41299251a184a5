"""Put the passes together: capture, place, prove, schedule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

import ancestral.compile.rules  # noqa: F401  (registers the operator rules)
from ancestral.compile.causality import prove_causal
from ancestral.compile.elements import ElementProgram, derive_elements
from ancestral.compile.errors import CausalityError, CompileError
from ancestral.compile.graph import Graph
from ancestral.compile.graph_network import GraphNetwork, whole_graph
from ancestral.compile.place import (
    Atom,
    Dim,
    Dims,
    Ints,
    Space,
    Value,
    View,
    full,
    key,
    payload_shape,
)
from ancestral.compile.program import StepProgram
from ancestral.compile.rewriter import rewrite
from ancestral.compile.rewritings import written_out
from ancestral.compile.schedule import schedule
from ancestral.compile.tracer import Tracer
from ancestral.compile.tracing import Tracing
from ancestral.compile.unrolled import UNROLLED
from ancestral.models.data import ConditionSpec, DataSpec, whole_frames
from ancestral.models.network import Network

COMPILER_VERSION = 2  # part of every fingerprint: raised when a program's arithmetic may change

_BATCH = 5  # of the example: a size of its own, so that tracing takes no other axis for it
_LENGTH = 47  # of the example of an open-ended item; programs hold for any length
_LONGEST = 1 << 30  # where items have no limit
_FRAMES = 7  # of the example's series, where they are slower than the sites

Program = StepProgram | ElementProgram


@dataclass(frozen=True)
class Codes:
    """What the network's first input is: [channels, rows, columns], or a length of time."""

    channels: int
    rows: int
    columns: int
    open_length: bool
    subs: int  # channels drawn one after the other (1: jointly)
    kind: str

    @staticmethod
    def of(data: DataSpec, joint: bool, length: int = _LENGTH) -> Codes:
        """`length`: of the example of an open-ended item."""
        if data.kind == "image":
            channels, rows, columns = data.shape
            return Codes(channels, rows, columns, False, 1 if joint else channels, "image")
        if data.shape:
            return Codes(1, 1, data.shape[0], False, 1, data.kind)
        return Codes(1, 1, length, True, 1, data.kind)


def compile_network(
    network: Network,
    conditions: Sequence[ConditionSpec] = (),
    order: npt.NDArray[np.int64] | None = None,
    tracing: Tracing | None = None,
) -> Program:
    """Derive the step program of a network in its generation order.

    `order` maps rank to position; None is raster order or time. Raises CausalityError with the
    path of the leak, or UnsupportedOperator with the operator and its line in the model.
    """
    length = min(_example_length(conditions), network.longest or _LONGEST)
    codes = Codes.of(network.data, network.likelihood.joint, length)
    discrete = network.data.levels is not None
    example: list[torch.Tensor] = [_example_codes(network.data, codes, discrete)]
    dynamic: list[dict[int, str]] = [{0: "batch"}]
    clock = whole_frames(1, conditions)  # sites after which all series have come round
    if codes.open_length:
        dynamic[0][1] = _times(clock)
    for spec in conditions:
        tensor, axes = _example_condition(spec, codes, clock)
        example.append(tensor)
        dynamic.append({0: "batch", **axes})
    weights = (p.dtype for p in network.parameters() if p.is_floating_point())
    precision = next(weights, torch.get_default_dtype())
    example = [x.to(precision) if x.is_floating_point() else x for x in example]
    if isinstance(network, GraphNetwork):
        graph = whole_graph(network, example, dynamic)
    else:
        graph = (tracing or Tracing())(network, tuple(example), dynamic)
    if not graph.batched:
        example = [value[:1] for value in example]
    return compile_graph(graph, example, codes, order)


def compile_graph(
    graph: Graph, example: Sequence[torch.Tensor], codes: Codes,
    order: npt.NDArray[np.int64] | None = None,
) -> Program:  # fmt: skip
    """Derive the program of a captured graph; `example` are inputs it was captured with.

    The affine derivation comes first. What it does not cover is derived element by element where
    items have one size.
    """
    if order is not None and (order == np.arange(order.size)).all():
        order = None
    graph = written_out(graph, example, lattice=False)
    first: CompileError | None = None
    if order is None:
        try:
            whole = written_out(graph, example, lattice=True)
            return _derive(whole, example, codes, "grid" if codes.kind == "image" else "flat")
        except CompileError as error:
            if codes.open_length:
                raise
            first = error
    graph = rewrite(graph, example, UNROLLED)
    try:
        return derive_elements(
            graph, example, image=codes.kind == "image", subs=codes.subs, order=order
        )
    except CausalityError as error:
        raise (first if isinstance(first, CausalityError) else error) from None


def _derive(
    graph: Graph, example: Sequence[torch.Tensor], codes: Codes, space: Space
) -> StepProgram:
    batch: Dim = (Atom("batch", example[0].shape[0]),)
    view = _codes_view(codes, space, batch)
    tracer = Tracer(graph, example, view)
    params = tracer.run(view)
    if space == "flat" and params.space == "grid":
        params = tracer.copy(params, "flat")
    vectors, size, limit = _limits(params, tracer, codes)
    prove_causal(params, limit, lambda e: _named(e, vectors, size))
    steps, read = schedule(tracer.values, params, limit, tracer.columns, codes.subs)
    return StepProgram(
        tracer.graph, space, codes.rows, codes.columns, codes.channels, codes.subs, tuple(steps),
        read, (vectors, size),
    )  # fmt: skip


def _codes_view(codes: Codes, space: Space, batch: Dim) -> View:
    """The network's input: what becomes known, site after site, channel after channel."""

    def payload(size: int) -> Dim:
        return (Atom("payload", size),) if size != 1 else ()

    channels, rows, columns = codes.channels, codes.rows, codes.columns
    sub = np.arange(channels) if codes.subs > 1 else np.zeros(channels, dtype=np.int64)
    if space == "grid":
        extent, ready = (rows, columns), sub
        dims: Dims = (batch, payload(channels), (Atom("row", rows),), (Atom("col", columns),))
    else:
        extent, ready = (1, columns), sub[:1]
        dims = (batch, (Atom("flat", columns),))
    count = int(np.prod(payload_shape(dims)))
    keys = np.array([key(0, 0, int(s)) for s in ready], dtype=np.int64)
    attrs = {"dims": dims, "ready": np.asarray(ready), "image": codes.kind == "image"}
    value = Value("codes", "codes", "", "the data", space, extent, count, [], attrs, keys)
    return View(value, dims, extent, (0, 0), full(extent), np.arange(count))


def _limits(params: View, tracer: Tracer, codes: Codes) -> tuple[int, int, Ints]:
    """Parameter vectors per site, parameters in each, and the key each element is wanted at.

    The network returns params as [batch, *grid, vectors, parameters].
    """
    shape = tracer.example[tracer.graph.output].shape
    grid = [codes.rows, codes.columns] if codes.kind == "image" else [codes.columns]
    if list(shape[1:-2]) != grid:
        raise CompileError(f"params have shape {list(shape)}; expected [batch, *{grid}, D, P]")
    vectors, size = int(shape[-2]), int(shape[-1])
    if params.pmap.size != vectors * size or params.extent[1] not in (
        codes.columns, codes.rows * codes.columns
    ):  # fmt: skip
        raise CompileError("the params' sites are not the data's sites")
    channel = np.repeat(np.arange(vectors), size) if codes.subs > 1 else np.zeros(vectors * size)
    return vectors, size, np.array([key(0, 0, int(c)) for c in channel], dtype=np.int64)


def _named(element: int, vectors: int, size: int) -> str:
    at = element // size
    return f"the output of channel {at}" if vectors > 1 else "an output"


def _example_codes(data: DataSpec, codes: Codes, discrete: bool) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    shape = data.shape or (codes.columns,)
    if discrete:
        return torch.randint(data.levels or 2, (_BATCH, *shape), generator=generator)
    return torch.randn((_BATCH, *shape), generator=generator)


def _example_length(conditions: Sequence[ConditionSpec]) -> int:
    """Of an open-ended item: a few values of every series at least."""
    return whole_frames(max(_LENGTH, _FRAMES * whole_frames(1, conditions)), conditions)


def _times(factor: int) -> str:
    """An axis that many times as long as the axis "time" (see `capture`)."""
    return "time" if factor == 1 else f"{factor} time"


def _example_condition(
    spec: ConditionSpec, codes: Codes, clock: int
) -> tuple[torch.Tensor, dict[int, str]]:
    if spec.kind == "label":
        return torch.zeros(_BATCH, dtype=torch.int64), {}
    generator = torch.Generator().manual_seed(1)
    width: Any = spec.channels
    if spec.kind == "series":
        axes = {2: _times(clock // spec.hop)} if codes.open_length else {}
        frames = codes.columns // spec.hop
        return torch.randn((_BATCH, width, frames), generator=generator), axes
    return torch.randn((_BATCH, width, codes.rows, codes.columns), generator=generator), {}
