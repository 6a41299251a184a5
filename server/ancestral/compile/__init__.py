"""From a causal network's forward pass to a cached sampler.

`compile_network` captures a network, proves that no output reads its own or a later input, and
derives the StepProgram that computes the same params site by site.
"""

from __future__ import annotations

from ancestral.compile.compiler import (
    COMPILER_VERSION,
    Codes,
    Program,
    compile_graph,
    compile_network,
)
from ancestral.compile.elements import ElementProgram
from ancestral.compile.errors import (
    CausalityError,
    CompileError,
    ParityError,
    UnsupportedOperator,
)
from ancestral.compile.graph import Graph, Node, Ref
from ancestral.compile.program import StepProgram
from ancestral.compile.step import Read, Ring, Step
from ancestral.compile.tracing import Tracing

__all__ = [
    "COMPILER_VERSION",
    "CausalityError",
    "Codes",
    "CompileError",
    "ElementProgram",
    "Graph",
    "Node",
    "ParityError",
    "Program",
    "Read",
    "Ref",
    "Ring",
    "Step",
    "StepProgram",
    "Tracing",
    "UnsupportedOperator",
    "compile_graph",
    "compile_network",
]
