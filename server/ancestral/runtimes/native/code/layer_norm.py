"""Layer norm and root-mean-square norm of one run of numbers, by vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llvmlite import ir
from numba.core import cgutils

from ancestral.runtimes.native.code import lanes
from ancestral.runtimes.native.code.lanes import LANES
from ancestral.runtimes.native.code.vectors import everywhere

_SUMS = 4  # interleaved, so that additions need not wait for each other


def layer_norm(b: ir.IRBuilder, of: ir.Type, args: Sequence[ir.Value]) -> None:
    """out = (x − mean) / sqrt(variance + eps) · scale + bias; up to the next whole vector.

    Arguments: x, out, how many, addresses of scale and of bias (0: none) and of eps, whether the
    mean is kept (and the mean of squares is the variance).
    """
    x, out, count, scale, bias, eps, kept = args[:7]
    vec, wide = lanes.vector(of), lanes.number(b, LANES * lanes.size_of(of))
    zero = lanes.constant(vec, 0.0)
    none = lanes.number(b, 0)
    size = lanes.splat(b, b.sitofp(count, of))
    ascending = ir.Constant(ir.VectorType(lanes.INT, LANES), list(range(LANES)))
    blocks = b.sdiv(b.add(count, lanes.number(b, LANES - 1)), lanes.number(b, LANES))
    mean = cgutils.alloca_once_value(b, zero)
    sums = [cgutils.alloca_once(b, vec) for _ in range(_SUMS)]

    def block(index: ir.Value, outside: ir.Value) -> ir.Value:
        """A vector of x, and `outside` behind the last."""
        place = b.add(lanes.splat(b, b.mul(index, lanes.number(b, LANES))), ascending)
        within = b.icmp_signed("<", place, lanes.splat(b, count))
        return b.select(within, lanes.load(b, b.add(x, b.mul(index, wide)), vec), outside)

    def summed(add: Callable[[ir.Value, ir.Value], ir.Value]) -> ir.Value:
        """Σ over x, each vector added to its own of the interleaved sums."""
        for total in sums:
            b.store(zero, total)
        each = lanes.number(b, _SUMS)
        whole = b.sdiv(blocks, each)
        with cgutils.for_range(b, whole) as loop:
            for i, total in enumerate(sums):
                index = b.add(b.mul(loop.index, each), lanes.number(b, i))
                b.store(add(b.load(total), index), total)
        with cgutils.for_range(b, b.srem(blocks, each)) as loop:
            index = b.add(b.mul(whole, each), loop.index)
            b.store(add(b.load(sums[0]), index), sums[0])
        first, second, third, fourth = (b.load(total) for total in sums)
        total = b.fadd(b.fadd(first, third), b.fadd(second, fourth))
        return everywhere(b, total, lambda b, u, v: b.fadd(u, v))

    with b.if_then(b.icmp_signed("==", kept, none)):
        total = summed(lambda s, index: b.fadd(s, block(index, zero)))
        b.store(b.fdiv(total, size), mean)
    middle = b.load(mean)

    def squared(s: ir.Value, index: ir.Value) -> ir.Value:
        away = b.fsub(block(index, middle), middle)
        return lanes.fma(b, away, away, s)

    variance = b.fdiv(summed(squared), size)
    variance = b.fadd(variance, lanes.splat(b, lanes.load(b, eps, of)))
    root = lanes.intrinsic_call(b, "llvm.sqrt", variance)
    factor = b.fdiv(lanes.constant(vec, 1.0), root)
    value = cgutils.alloca_once(b, vec)
    with cgutils.for_range(b, blocks) as loop:
        offset = b.mul(loop.index, wide)
        found = b.fsub(lanes.load(b, b.add(x, offset), vec), middle)
        b.store(b.fmul(found, factor), value)
        for table, operation in ((scale, b.fmul), (bias, b.fadd)):
            with b.if_then(b.icmp_signed("!=", table, none)):
                row = lanes.load(b, b.add(table, offset), vec)
                b.store(operation(b.load(value), row), value)
        lanes.store(b, b.load(value), b.add(out, offset))
