"""Put the passes together: place every element, prove, schedule."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

# (the rules register themselves)
from ancestral.compile.elements import attention, movement, payload, pointwise, product  # noqa: F401
from ancestral.compile.elements.program import ElementProgram
from ancestral.compile.elements.schedule import prove_causal, schedule
from ancestral.compile.elements.tracer import Tracer, View
from ancestral.compile.errors import CompileError
from ancestral.compile.graph import Graph


def derive_elements(
    graph: Graph,
    example: Sequence[torch.Tensor],
    *,
    image: bool,
    subs: int,
    order: npt.NDArray[np.int64] | None,
) -> ElementProgram:
    """The element program of a graph whose codes are [B, C, H, W] or [B, D].

    `subs` of a site's channels are drawn one after the other (1: jointly). Raises CausalityError
    with the path of the leak, UnsupportedOperator, or CompileError.
    """
    _check_batch(graph, example)
    one = [value[:1] for value in example]
    channels, rows, columns = one[0].shape[1:] if image else (1, 1, one[0].shape[1])
    sites = rows * columns
    order = np.arange(sites) if order is None else np.asarray(order)
    tracer = Tracer(graph, one)
    ranks = np.argsort(order)
    channel = np.arange(channels) if subs > 1 else np.zeros(channels, dtype=np.int64)
    ready = ranks[:, None] * subs + channel  # [sites, channels]
    start = tracer.arena.block(ready)
    at = np.arange(start, start + ready.size).reshape(sites, channels)
    known = at[order].reshape(sites * subs, -1)
    if image:
        shown = at.T.reshape(1, channels, rows, columns)
        codes = View(shown, (False, False, True, True), _kind(one[0]))
    else:
        codes = View(at.reshape(1, sites), (False, True), _kind(one[0]))
    params = tracer.run(codes)
    shape = params.shape
    grid = (rows, columns) if image else (columns,)
    if shape[1:-2] != grid:
        raise CompileError(f"params have shape {list(shape)}; expected [batch, *{grid}, D, P]")
    vectors, size = shape[-2:]
    by_rank = params.at.reshape(sites, vectors * size)[order]
    own = np.repeat(np.arange(vectors), size) if subs > 1 else np.zeros(vectors * size, np.int64)
    limit = np.arange(sites)[:, None] * subs + own

    def site(rank: int, channel: int, of: int) -> str:
        row, column = divmod(int(order[rank]), columns)
        place = f"site ({row}, {column})" if image else f"site {column}"
        return place + (f", channel {channel}" if of > 1 else "")

    def output(element: int) -> str:
        rank, within = divmod(element, vectors * size)
        return f"the output of {site(rank, within // size, vectors)}"

    def known_at(time: int) -> str:
        return site(*divmod(time, subs), subs)

    prove_causal(tracer.arena, tracer.steps, by_rank.ravel(), limit.ravel(), output, known_at)
    steps = schedule(
        tracer.arena, tracer.steps, by_rank.ravel(), limit.ravel(), columns * subs if image else 1
    )
    return ElementProgram(
        graph, rows, columns, channels, subs, image, tuple(steps), tracer.arena.size,
        dict(tracer.arena.literals), tuple(tracer.arena.placed.values()), known, by_rank,
        (vectors, size), order,
    )  # fmt: skip


def _kind(codes: torch.Tensor) -> str:
    return "float" if codes.is_floating_point() else "int"


def _check_batch(graph: Graph, example: Sequence[torch.Tensor]) -> None:
    """An item's params must not depend on the items beside it: these passes look at one item."""
    if not graph.batched or example[0].shape[0] < 2:
        return
    double = graph.to(torch.float64)
    inputs = [v.double() if v.is_floating_point() else v for v in example]
    together = double.run(inputs)[graph.output][:1]
    alone = double.run([value[:1] for value in inputs])[graph.output]
    if not torch.allclose(together, alone, rtol=1e-9, atol=1e-9):
        raise CompileError("an item's params depend on the other items of its batch")
