"""The vectorised inner loops, compiled as one function per element type and called by its address.

Numba optimises a function once for every function that leads to it. Behind an address these loops
are compiled once: `kernel(which, ten integers)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ancestral.runtimes.native.code import lanes
from ancestral.runtimes.native.code.blocks import BF16, FULL, INT8
from ancestral.runtimes.native.code.cache import compiled_for_c
from ancestral.runtimes.native.code.flash import flash
from ancestral.runtimes.native.code.lanes import INT, Body
from ancestral.runtimes.native.code.layer_norm import layer_norm
from ancestral.runtimes.native.code.narrow import MOST, narrow
from ancestral.runtimes.native.code.pointwise import masses, vectors
from ancestral.runtimes.native.code.products import tile
from ancestral.runtimes.native.code.vectors import dots, softmax, weighted

# rows and panels of the tiles that there are
TILES = ((1, 8), (1, 4), (1, 2), (1, 1), (2, 4), (2, 2), (2, 1), (4, 4), (4, 2), (4, 1), (8, 2),
         (8, 1))  # fmt: skip
ROUTINES: tuple[Body, ...] = (
    vectors, weighted, masses, dots, softmax, flash, layer_norm, *(tile(r, p) for r, p in TILES),
    *(narrow(o + 1) for o in range(MOST)),
)  # fmt: skip
FIRST_TILE = len(ROUTINES) - len(TILES) - MOST


def _routines(form: int) -> dict[int, Body]:
    """By number: all of them, or, for weights in fewer bytes, the tiles alone."""
    if form == FULL:
        return dict(enumerate(ROUTINES))
    return {FIRST_TILE + i: tile(r, p, form) for i, (r, p) in enumerate(TILES)}


def _switch(b: ir.IRBuilder, of: ir.Type, form: int, args: Sequence[ir.Value]) -> None:
    """Calls the routine of that number; each is a function of its own."""
    end = b.append_basic_block("end")
    switch = b.switch(args[0], end)
    for number, body in _routines(form).items():
        function = ir.Function(
            b.module, ir.FunctionType(ir.VoidType(), [INT] * 10), f"ancestral.{number}"
        )
        function.linkage = "internal"
        function.attributes.add("noinline")
        inner = ir.IRBuilder(function.append_basic_block("entry"))
        body(inner, of, function.args)
        inner.ret_void()
        block = b.append_basic_block()
        switch.add_case(lanes.number(b, number), block)
        b.position_at_end(block)
        b.call(function, args[1:])
        b.branch(end)
    b.position_at_end(end)


def _entry(of: Any, form: int = FULL) -> Any:
    def typer(
        context: Any, which: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any,
        i: Any, j: Any,
    ) -> Any:  # fmt: skip
        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
            _switch(builder, lanes.element(of), form, args)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 11), codegen

    return intrinsic(typer)


_singles, _doubles = _entry(types.float32), _entry(types.float64)
_halves, _bytes = _entry(types.float32, BF16), _entry(types.float32, INT8)


def _single(which, a, b, c, d, e, f, g, h, i, j):
    _singles(which, a, b, c, d, e, f, g, h, i, j)


def _double(which, a, b, c, d, e, f, g, h, i, j):
    _doubles(which, a, b, c, d, e, f, g, h, i, j)


def _half(which, a, b, c, d, e, f, g, h, i, j):
    _halves(which, a, b, c, d, e, f, g, h, i, j)


def _byte(which, a, b, c, d, e, f, g, h, i, j):
    _bytes(which, a, b, c, d, e, f, g, h, i, j)


@cache
def kernels(dtype: np.dtype[Any], form: int = FULL) -> Any:
    """The compiled kernels of an element type; their `address` is what compiled code calls.

    Those for weights in another form are of float32, and tiles alone.
    """
    whole = _single if dtype == np.float32 else _double
    chosen = {FULL: whole, BF16: _half, INT8: _byte}[form]
    return compiled_for_c(chosen, types.void(*[types.int64] * 11))
