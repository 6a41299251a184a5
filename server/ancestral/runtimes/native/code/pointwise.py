"""Elementwise arithmetic on runs of memory, a vector at a time.

Runs may be read and written up to the next multiple of `LANES` elements: every buffer is padded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import njit
from numba.core import cgutils

from ancestral.runtimes.native.code import lanes
from ancestral.runtimes.native.code.blocks import VECTORS as _VECTORS
from ancestral.runtimes.native.code.functions import ONE, THREE, TWO, exp, greater
from ancestral.runtimes.native.code.lanes import LANES, call_kernel
from ancestral.runtimes.native.code.memory import load, store

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


def masses(b: ir.IRBuilder, of: ir.Type, args: Sequence[ir.Value]) -> None:
    """exp((l − max) / temperature) of logits as float64, in blocks of 8.

    Arguments: logits, how many, out (float64, whole blocks, zeros behind the last), address of the
    temperature, addresses of what the largest logit and the sum of the masses are written to.
    The sum is over eight interleaved sums, whatever the machine.
    """
    logits, count, out, temperature, largest, total = args[:6]
    double = ir.DoubleType()
    vec, lane = lanes.vector(double, 8), ir.VectorType(lanes.INT, 8)
    full = b.sdiv(b.add(count, lanes.number(b, 7)), lanes.number(b, 8))
    size = lanes.number(b, 8 * lanes.size_of(of))
    infinite = lanes.constant(vec, -math.inf)

    def block(index: ir.Value) -> ir.Value:
        found = lanes.load(b, b.add(logits, b.mul(index, size)), lanes.vector(of, 8))
        found = found if of == double else b.fpext(found, vec)
        place = b.add(
            lanes.splat(b, b.mul(index, lanes.number(b, 8)), 8), ir.Constant(lane, list(range(8)))
        )
        return b.select(b.icmp_signed("<", place, lanes.splat(b, count, 8)), found, infinite)

    best = cgutils.alloca_once_value(b, infinite)
    with cgutils.for_range(b, full) as loop:
        b.store(greater(b, b.load(best), block(loop.index)), best)
    highest = _folded(b, b.load(best), lambda x, y: b.select(b.fcmp_ordered(">", x, y), x, y))
    lanes.store(b, highest, largest)
    moved = lanes.splat(b, highest, 8)
    factor = lanes.splat(b, lanes.load(b, temperature, double), 8)
    sums = cgutils.alloca_once_value(b, lanes.constant(vec, 0.0))
    with cgutils.for_range(b, full) as loop:
        value = exp(b, b.fdiv(b.fsub(block(loop.index), moved), factor))
        lanes.store(b, value, b.add(out, b.mul(loop.index, lanes.number(b, 64))))
        b.store(b.fadd(b.load(sums), value), sums)
    lanes.store(b, _folded(b, b.load(sums), b.fadd), total)


def _folded(b: ir.IRBuilder, x: Any, function: Any) -> Any:
    """The lanes of a vector of eight combined, halves first."""
    parts = [b.extract_element(x, ir.Constant(ir.IntType(32), i)) for i in range(8)]
    while len(parts) > 1:
        half = len(parts) // 2
        parts = [function(parts[i], parts[i + half]) for i in range(half)]
    return parts[0]


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
