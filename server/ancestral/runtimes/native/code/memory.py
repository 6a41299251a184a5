"""Numbers at addresses, for compiled code that is not worth writing as vectors."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ancestral.runtimes.native.code import lanes


@intrinsic
def load(context: Any, like: Any, address: Any, index: Any) -> Any:
    """Element `index` of the numbers at an address."""

    def codegen(_: Any, b: ir.IRBuilder, signature: Any, args: Any) -> Any:
        of = lanes.element(signature.args[0])
        offset = b.mul(args[2], lanes.number(b, lanes.size_of(of)))
        return lanes.load(b, b.add(args[1], offset), of)

    return like(like, types.int64, types.int64), codegen


@intrinsic
def store(context: Any, like: Any, address: Any, index: Any, value: Any) -> Any:
    """Write element `index`."""

    def codegen(_: Any, b: ir.IRBuilder, signature: Any, args: Any) -> Any:
        of = lanes.element(signature.args[0])
        offset = b.mul(args[2], lanes.number(b, lanes.size_of(of)))
        lanes.store(b, args[3], b.add(args[1], offset))
        return _.get_dummy_value()

    return types.void(like, types.int64, types.int64, like), codegen


@intrinsic
def move(context: Any, like: Any, x: Any, first: Any, out: Any, place: Any, count: Any) -> Any:
    """Copy `count` elements of x from `first` on to those of `out` from `place` on."""

    def codegen(_: Any, b: ir.IRBuilder, signature: Any, args: Any) -> Any:
        of = lanes.element(signature.args[0])
        size = lanes.number(b, lanes.size_of(of))
        source, target = (b.add(args[i], b.mul(args[i + 1], size)) for i in (1, 3))
        byte = ir.IntType(8)
        cgutils.raw_memcpy(
            b, lanes.at(b, target, byte), lanes.at(b, source, byte), args[5], lanes.size_of(of)
        )
        return _.get_dummy_value()

    return types.void(like, *[types.int64] * 5), codegen


@intrinsic
def integer(context: Any, address: Any, index: Any) -> Any:
    """Element `index` of the 64-bit integers at an address."""

    def codegen(_: Any, b: ir.IRBuilder, signature: Any, args: Any) -> Any:
        return lanes.load(b, b.add(args[0], b.mul(args[1], lanes.number(b, 8))), lanes.INT)

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def put(context: Any, address: Any, index: Any, value: Any) -> Any:
    """Write element `index` of the 64-bit integers at an address."""

    def codegen(_: Any, b: ir.IRBuilder, signature: Any, args: Any) -> Any:
        lanes.store(b, args[2], b.add(args[0], b.mul(args[1], lanes.number(b, 8))))
        return _.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen
