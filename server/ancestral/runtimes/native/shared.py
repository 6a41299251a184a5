"""What the running batches of a program share: one copy in a process, however many there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch

from ancestral.compile.elements import ElementProgram
from ancestral.compile.graph import Graph
from ancestral.compile.program import StepProgram
from ancestral.runtimes.folded import folded_graph
from ancestral.runtimes.native.lower import element_rules
from ancestral.runtimes.native.lower.elements import ElementLowering
from ancestral.runtimes.native.lower.plan import Plan, plan
from ancestral.runtimes.native.lower.tables import ElementTables
from ancestral.runtimes.native.lower.weights import Weights


@dataclass(frozen=True, eq=False)
class Prepared:
    """What all running batches of a program share: its plan, its graph and its packed weights."""

    plan: Plan
    graph: Graph
    weights: Weights


_PREPARED: WeakKeyDictionary[StepProgram, dict[torch.dtype, Prepared]] = WeakKeyDictionary()


def prepared(program: StepProgram, dtype: torch.dtype) -> Prepared:
    """Made once for a program and a precision."""
    known = _PREPARED.setdefault(program, {})
    if dtype not in known:
        graph = folded_graph(program, dtype, torch.device("cpu"))
        weights = Weights(graph.constants, numpy_type(dtype))
        known[dtype] = Prepared(plan(program), graph, weights)
    return known[dtype]


def numpy_type(dtype: torch.dtype) -> np.dtype[Any]:
    return np.dtype(np.float64 if dtype == torch.float64 else np.float32)


_WEIGHTS: WeakKeyDictionary[ElementProgram, dict[str, Weights]] = WeakKeyDictionary()


def weights_of(program: ElementProgram, graph: Graph, dtype: np.dtype[Any]) -> Weights:
    """The packed weights of an element program, in a precision."""
    known = _WEIGHTS.setdefault(program, {})
    if dtype.name not in known:
        known[dtype.name] = Weights(graph.constants, dtype)
    return known[dtype.name]


_TABLES: WeakKeyDictionary[ElementProgram, dict[str, ElementTables]] = WeakKeyDictionary()


def element_tables(program: ElementProgram, graph: Graph, dtype: np.dtype[Any]) -> ElementTables:
    """An element program lowered, in a precision. Raises Unsupported."""
    known = _TABLES.setdefault(program, {})
    if dtype.name not in known:
        low = ElementLowering(program, weights_of(program, graph, dtype))
        low.build(element_rules.lower)
        known[dtype.name] = ElementTables.of(low)
    return known[dtype.name]
