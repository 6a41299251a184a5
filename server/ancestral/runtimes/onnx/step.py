"""The step program as two ONNX graphs: what a row begins with, and a site with its draw.

Caches are inputs and outputs of the same shape, to be bound to the same memory: nothing reads a
place of a cache that the same run overwrites. Positions, uniforms, temperatures and the values that
are known are inputs, so that one graph serves every site of any number of slots. Tables that follow
from the weights are inputs, too, with their values as defaults; those that follow from a condition
or from the length are given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import onnx
import torch
from torch import Tensor

from ancestral.likelihoods.base import Likelihood
from ancestral.runtimes.caches import Caches
from ancestral.runtimes.onnx import rules as rules
from ancestral.runtimes.onnx.trace import SLOTS, Line, NotStraight, traced
from ancestral.runtimes.onnx.writer import Unwritten, Writer
from ancestral.runtimes.straight.lattice import StraightLattice
from ancestral.runtimes.straight.state import State, Where, blank
from ancestral.runtimes.tables import tables_of

Tensors = dict[str, Tensor]
NEXT = "next/"  # before a cache's name: as it is after the site


@dataclass(frozen=True)
class StepGraphs:
    """`row` is None where nothing is computed a row at a time."""

    row: onnx.ModelProto | None
    site: onnx.ModelProto


def step_graphs(
    caches: Caches, likelihood: Likelihood, dims: int, *, cuts: bool = False
) -> StepGraphs:
    """The graphs of a program whose caches these are; `cuts`: with inputs for top_k and top_p.

    Raises Unwritten naming the operator that has no form in ONNX.
    """
    try:
        line = StraightLattice(caches)
        row = None
        if caches.program.row_steps:
            row = _graph(caches, _row_line(line), lambda n: {})
        site = _graph(
            caches,
            _site_line(line, likelihood),
            lambda n: _draws(n, dims, likelihood, caches.dtype, cuts),
        )
    except NotStraight as error:
        raise Unwritten(f"a step of several slots: {error}") from error
    return StepGraphs(row, site)


def _row_line(line: StraightLattice) -> Line:
    def run(given: Tensors) -> Tensors:
        state = _state(given)
        line.row(state)
        return _changed(given, state)

    return run


def _site_line(line: StraightLattice, likelihood: Likelihood) -> Line:
    subs = line.program.subs

    def run(given: Tensors) -> Tensors:
        state = _state(given)
        each: list[Tensor] = []
        values: list[Tensor] = []

        def draw(sub: int, params: Tensor) -> Tensor:
            one_by_one = params.shape[1] > 1 and subs > 1
            dims = slice(sub, sub + 1) if one_by_one else slice(None)
            params = params[:, dims]
            drawn = likelihood.sample(
                params,
                given["draw/uniforms"][:, dims],
                temperature=given["draw/temperature"],
                top_k=given.get("draw/top_k"),
                top_p=given.get("draw/top_p"),
            )
            known = given["draw/known"][:, dims]
            each.append(params)
            values.append(torch.where(given["draw/fixed"][:, dims], known, drawn.to(known.dtype)))
            return values[-1]

        line.site(state, draw)
        found = {"params": torch.cat(each, 1), "values": torch.cat(values, 1)}
        return _changed(given, state) | found

    return run


def _draws(n: int, dims: int, likelihood: Likelihood, dtype: torch.dtype, cuts: bool) -> Tensors:
    """What a draw needs; unknown values are drawn."""
    found = {
        "draw/uniforms": torch.full((n, dims, 2), 0.5, dtype=torch.float64),
        "draw/temperature": torch.ones(n, 1, dtype=torch.float64),
        "draw/fixed": torch.zeros(n, dims, dtype=torch.bool),
        "draw/known": torch.zeros(n, dims, dtype=torch.int64 if likelihood.discrete else dtype),
    }
    if cuts:
        found["draw/top_k"] = torch.ones(n, 1, dtype=torch.int64)
        found["draw/top_p"] = torch.ones(n, 1, dtype=torch.float64)
    return found


def _state(given: Tensors) -> State:
    """A state on copies of the dictionaries; the tensors are replaced, not written."""
    at = Where(**{name: given[f"at/{name}"] for name in Where.__slots__})
    stores = {k: v for k, v in given.items() if k.startswith(("ring/", "keys/"))}
    statics = {k: v for k, v in given.items() if k.startswith(("table/", "places/"))}
    return State(stores, statics, at)


def _changed(given: Tensors, state: State) -> Tensors:
    return {NEXT + k: v for k, v in state.stores.items() if v is not given[k]}


def _example(caches: Caches, n: int) -> Tensors:
    stores, statics = blank(caches, n)
    zero, each = torch.tensor(0), torch.zeros(n, dtype=torch.int64)
    keys = torch.arange(caches.keys.capacity)
    at = Where(torch.arange(n), each, zero, zero.clone(), zero.clone(), keys)
    return stores | statics | at.tensors()


def _graph(caches: Caches, line: Line, more: Callable[[int], Tensors]) -> onnx.ModelProto:
    examples = [_example(caches, n) | more(n) for n in SLOTS]
    trace = traced(line, examples, "at/slot")
    writer = Writer(trace.constants, trace.examples)
    names = list(examples[0])
    for node, name in zip(trace.inputs, names, strict=True):
        writer.bind(node, name)
    for operator in trace.nodes:
        writer.write(operator)
    few, many = examples
    flat = caches.program.space == "flat"
    shapes = {
        node: (name, _shape(name, few[name].shape, many[name].shape, flat))
        for node, name in zip(trace.inputs, names, strict=True)
    }
    known = {NEXT + name: shape for name, shape in shapes.values()}
    outputs = {
        name: (node, known.get(name) or ("slots", *trace.examples[node].shape[1:]))
        for name, node in trace.outputs.items()
    }
    return writer.model(shapes, outputs, _defaults(caches))


def _shape(name: str, few: Sequence[int], many: Sequence[int], flat: bool) -> tuple[str | int, ...]:
    """Sizes by number where they never change, by name where they do."""
    stem = name.replace("/", "_")
    found: list[str | int] = []
    for axis, (a, b) in enumerate(zip(few, many, strict=True)):
        if (a, b) == SLOTS:
            found.append("slots")
        elif (
            a != b
            or name.startswith("places/")
            or (flat and name.startswith("table/"))
            or name == "at/keys"
            or (name.startswith("keys/") and axis == 2)
        ):
            found.append(f"{stem}_{axis}")
        else:
            found.append(a)
    return tuple(found)


def _defaults(caches: Caches) -> Tensors:
    """Tables of the weights, where no length changes them."""
    if caches.program.space == "flat":
        return {}
    found: Tensors = {}
    for i, table in enumerate(tables_of(caches.program)):
        known = None if table.fixed.item else caches.tables.known(table)
        if known is not None:
            found[f"table/{i}"] = known
    return found
