"""Vectors of the machine: small pieces of LLVM code that compiled functions are made of.

Numba leaves the choice of vector instructions to heuristics; the inner loops here are written as
vectors of `LANES` elements instead. Addresses are integers (bytes), so that one table of
operations may refer to weights, caches and constants wherever they lie; `like` is a number of the
element type, float32 or float64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16 if llvm.get_host_cpu_features().get("avx512f") else 8
INT = ir.IntType(64)


def element(like: Any) -> ir.Type:
    """The LLVM type of a Numba float type."""
    return ir.FloatType() if like == types.float32 else ir.DoubleType()


def vector(of: ir.Type, lanes: int = LANES) -> ir.VectorType:
    return ir.VectorType(of, lanes)


def size_of(of: ir.Type) -> int:
    return 4 if isinstance(of, ir.FloatType) else 8


def at(b: ir.IRBuilder, address: ir.Value, of: ir.Type) -> ir.Value:
    """An address as a pointer."""
    return b.inttoptr(address, of.as_pointer())


def load(b: ir.IRBuilder, address: ir.Value, of: ir.Type) -> ir.Value:
    found = b.load(at(b, address, of), typ=of)
    found.align = _alignment(of)
    return found


def store(b: ir.IRBuilder, value: ir.Value, address: ir.Value) -> None:
    of = value.type
    b.store(value, at(b, address, of), align=_alignment(of))


def store_first(b: ir.IRBuilder, value: ir.Value, address: ir.Value, count: ir.Value) -> None:
    """The first `count` lanes alone."""
    of, lanes = value.type, value.type.count
    ascending = ir.Constant(ir.VectorType(INT, lanes), list(range(lanes)))
    within = b.icmp_signed("<", ascending, splat(b, count, lanes))
    pointer, word = of.as_pointer(), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [of, pointer, word, within.type])
    name = f"llvm.masked.store.v{lanes}f{8 * size_of(of.element)}.p0"
    function = cgutils.get_or_insert_function(b.module, kind, name)
    alignment = ir.Constant(word, _alignment(of))
    b.call(function, [value, b.inttoptr(address, pointer), alignment, within])


def _alignment(of: ir.Type) -> int:
    """Bytes of an element, whole numbers included."""
    element = of.element if isinstance(of, ir.VectorType) else of
    return element.width // 8 if isinstance(element, ir.IntType) else size_of(element)


def splat(b: ir.IRBuilder, value: ir.Value, lanes: int = LANES) -> ir.Value:
    """A number in every lane."""
    vec = vector(value.type, lanes)
    one = b.insert_element(ir.Constant(vec, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
    return b.shuffle_vector(one, ir.Constant(vec, ir.Undefined), zeros)


def constant(of: ir.Type, value: float) -> ir.Constant:
    """A number as a scalar or in every lane."""
    if isinstance(of, ir.VectorType):
        return ir.Constant(of, [ir.Constant(of.element, value)] * of.count)
    return ir.Constant(of, value)


def intrinsic_call(b: ir.IRBuilder, name: str, *args: ir.Value) -> ir.Value:
    """An LLVM intrinsic of arguments of one type, such as `llvm.fma`."""
    of = args[0].type
    if isinstance(of, ir.VectorType):
        suffix = f"v{of.count}f{8 * size_of(of.element)}"
    else:
        suffix = f"f{8 * size_of(of)}"
    kind = ir.FunctionType(of, [of] * len(args))
    function = cgutils.get_or_insert_function(b.module, kind, f"{name}.{suffix}")
    return b.call(function, args)


def fma(b: ir.IRBuilder, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
    """x·y + z, rounded once."""
    return intrinsic_call(b, "llvm.fma", x, y, z)


FIRST, SECOND = 3, 2  # levels of the cache, as LLVM numbers them


def prefetch(b: ir.IRBuilder, address: ir.Value, level: int = FIRST) -> None:
    """Ask for the cache line at an address, which need not be one's own."""
    pointer, word = ir.IntType(8).as_pointer(), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [pointer, word, word, word])
    function = cgutils.get_or_insert_function(b.module, kind, "llvm.prefetch.p0")
    read, near, data = (ir.Constant(word, i) for i in (0, level, 1))
    b.call(function, [b.inttoptr(address, pointer), read, near, data])


def number(b: ir.IRBuilder, value: int) -> ir.Value:
    return ir.Constant(INT, value)


Body = Callable[[ir.IRBuilder, ir.Type, Sequence[ir.Value]], None]


@intrinsic
def call_kernel(
    context: Any, kernel: Any, which: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any,
    h: Any, i: Any, j: Any,
) -> Any:  # fmt: skip
    """Call the kernels at an address; see `kernels`."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [INT] * 11)
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 12), codegen


@intrinsic
def bytes_of(context: Any, like: Any) -> Any:
    """Bytes of one element."""

    def codegen(_: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        return ir.Constant(INT, size_of(element(signature.args[0])))

    return types.int64(like), codegen
