"""Elementwise arithmetic on runs of memory, a vector at a time.

Runs may be read and written up to the next multiple of `LANES` elements: every buffer is padded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from llvmlite import ir
from numba import njit
from numba.core import cgutils

from ancestral.runtimes.native import lanes
from ancestral.runtimes.native.blocks import VECTORS as _VECTORS
from ancestral.runtimes.native.functions import ONE, THREE, TWO, exp
from ancestral.runtimes.native.lanes import LANES, call_kernel
from ancestral.runtimes.native.memory import load, store

VECTORS = {**ONE, **TWO, **THREE}
SCALARS = ("log", "log1p", "expm1", "sin", "cos", "tan", "atan", "gelu_exact", "softplus",
           "log_sigmoid", "exp2", "log2", "erf", "pow")  # fmt: skip
CODES: dict[str, int] = {name: i for i, name in enumerate((*VECTORS, *SCALARS))}


def vectors(b: ir.IRBuilder, of: ir.Type, args: Sequence[ir.Value]) -> None:
    """A switch over the functions, each with its loop."""
    code, x, y, z, out, count = args[:6]
    vec = lanes.vector(of)
    wide = lanes.number(b, LANES * lanes.size_of(of))
    full = b.sdiv(b.add(count, lanes.number(b, LANES - 1)), lanes.number(b, LANES))
    end = b.append_basic_block("end")
    switch = b.switch(code, end)
    for name, function in VECTORS.items():
        block = b.append_basic_block(name)
        switch.add_case(lanes.number(b, CODES[name]), block)
        b.position_at_end(block)
        arity = 1 if name in ONE else 2 if name in TWO else 3
        with cgutils.for_range(b, full) as loop:
            offset = b.mul(loop.index, wide)
            values = [lanes.load(b, b.add(a, offset), vec) for a in (x, y, z)[:arity]]
            lanes.store(b, function(b, *values), b.add(out, offset))
        b.branch(end)
    b.position_at_end(end)


def exp_of_doubles(b: ir.IRBuilder, of: ir.Type, args: Sequence[ir.Value]) -> None:
    """exp in place of `count` float64 numbers, whatever the element type is."""
    x, count = args[:2]
    vec = lanes.vector(ir.DoubleType(), 8)
    full = b.sdiv(b.add(count, lanes.number(b, 7)), lanes.number(b, 8))
    with cgutils.for_range(b, full) as loop:
        at = b.add(x, b.mul(loop.index, lanes.number(b, 64)))
        lanes.store(b, exp(b, lanes.load(b, at, vec)), at)


_FIRST_SCALAR = CODES[SCALARS[0]]
(_LOG, _LOG1P, _EXPM1, _SIN, _COS, _TAN, _ATAN, _GELU, _SOFTPLUS, _LOG_SIGMOID, _EXP2, _LOG2,
 _ERF, _POW) = (CODES[name] for name in SCALARS)  # fmt: skip


@njit
def apply(like, kernel, code, x, y, z, out, count):
    """out = function `code` of the runs at x (and y, and z), `count` elements long."""
    if code < _FIRST_SCALAR:
        call_kernel(kernel, _VECTORS, code, x, y, z, out, count, 0, 0, 0, 0)
    else:
        for i in range(count):
            v = scalar(code, float(load(like, x, i)), float(load(like, y, i)) if y else 0.0)
            store(like, out, i, like * 0 + v)


@njit
def scalar(code, x, y):
    """The functions that are not worth a vector form, in float64."""
    if code == _LOG:
        return math.log(x) if x > 0 else (-math.inf if x == 0 else math.nan)
    if code == _LOG1P:
        return math.log1p(x) if x > -1 else (-math.inf if x == -1 else math.nan)
    if code == _EXPM1:
        return math.expm1(x)
    if code == _SIN:
        return math.sin(x)
    if code == _COS:
        return math.cos(x)
    if code == _TAN:
        return math.tan(x)
    if code == _ATAN:
        return math.atan(x)
    if code == _GELU:
        return 0.5 * x * math.erfc(-x * math.sqrt(0.5))
    if code == _SOFTPLUS:
        return max(x, 0.0) + math.log1p(math.exp(-abs(x)))
    if code == _LOG_SIGMOID:
        return min(x, 0.0) - math.log1p(math.exp(-abs(x)))
    if code == _EXP2:
        return 2.0**x
    if code == _LOG2:
        return math.log2(x) if x > 0 else (-math.inf if x == 0 else math.nan)
    if code == _ERF:
        return math.erf(x)
    return x**y
