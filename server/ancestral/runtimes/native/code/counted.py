"""The operations of a table with the time that each takes written down."""

from __future__ import annotations

import time
from functools import cache
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ancestral.runtimes.native import fields as f
from ancestral.runtimes.native.code.cache import compiled_for_c
from ancestral.runtimes.native.code.lanes import INT, call_kernel
from ancestral.runtimes.native.code.memory import integer, put


@intrinsic
def ticks(context: Any) -> Any:
    """The processor's counter, which runs at one rate whatever the clock of its cores."""

    def codegen(_: Any, b: ir.IRBuilder, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(INT, [])
        return b.call(cgutils.get_or_insert_function(b.module, kind, "llvm.readcyclecounter"), [])

    return types.int64(), codegen


def _counted(kernel, ops, first, last, links, segs, scratch, stand, ranks, phases, lengths):
    """As `operations` at stand[RUN], one at a time; their ticks are added to those at [TICKS].

    What passed between two calls, the draw, is added to the number before the operations'.
    """
    run, found = integer(stand, f.RUN), integer(stand, f.TICKS)
    if integer(stand, f.LEFT):
        put(found, -1, integer(found, -1) + ticks() - integer(stand, f.LEFT))
    for i in range(first, last):
        start = ticks()
        call_kernel(run, kernel, ops, i, i + 1, links, segs, scratch, stand, ranks, phases, lengths)
        put(found, i, integer(found, i) + ticks() - start)
    put(stand, f.LEFT, ticks())


@cache
def counted() -> Any:
    """For programs of either element type; called by its `address`."""
    return compiled_for_c(_counted, types.void(*[types.int64] * 11))


def _now():
    return ticks()


@cache
def rate(seconds: float = 0.05) -> float:
    """Ticks a second, by the clock on the wall."""
    now = compiled_for_c(_now, types.int64()).ctypes
    start, first = time.perf_counter(), now()
    while time.perf_counter() - start < seconds:
        pass
    found: float = (now() - first) / (time.perf_counter() - start)
    return found
