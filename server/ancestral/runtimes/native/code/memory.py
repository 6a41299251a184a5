"""Numbers at addresses, for compiled code that is not worth writing as vectors."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ancestral.runtimes.native.code import lanes
from ancestral.runtimes.native.code.lanes import LANES


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
        source, target = _places(b, of, args)
        whole = b.sdiv(args[5], lanes.number(b, LANES))
        _vectors(b, of, source, target, whole)
        left = b.srem(args[5], lanes.number(b, LANES))
        with b.if_then(b.icmp_signed("!=", left, lanes.number(b, 0))):
            behind = b.mul(whole, lanes.number(b, LANES * lanes.size_of(of)))
            values = lanes.load(b, b.add(source, behind), lanes.vector(of))
            lanes.store_first(b, values, b.add(target, behind), left)
        return _.get_dummy_value()

    return types.void(like, *[types.int64] * 5), codegen


@intrinsic
def move_over(context: Any, like: Any, x: Any, first: Any, out: Any, place: Any, count: Any) -> Any:
    """The same where what lies behind is to be written later: whole vectors."""

    def codegen(_: Any, b: ir.IRBuilder, signature: Any, args: Any) -> Any:
        of = lanes.element(signature.args[0])
        source, target = _places(b, of, args)
        size = lanes.number(b, LANES)
        _vectors(b, of, source, target, b.sdiv(b.add(args[5], lanes.number(b, LANES - 1)), size))
        return _.get_dummy_value()

    return types.void(like, *[types.int64] * 5), codegen


def _places(b: ir.IRBuilder, of: ir.Type, args: Any) -> tuple[ir.Value, ir.Value]:
    size = lanes.number(b, lanes.size_of(of))
    return b.add(args[1], b.mul(args[2], size)), b.add(args[3], b.mul(args[4], size))


def _vectors(
    b: ir.IRBuilder, of: ir.Type, source: ir.Value, target: ir.Value, count: ir.Value
) -> None:
    wide = lanes.number(b, LANES * lanes.size_of(of))
    with cgutils.for_range(b, count) as loop:
        at = b.mul(loop.index, wide)
        lanes.store(b, lanes.load(b, b.add(source, at), lanes.vector(of)), b.add(target, at))


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
