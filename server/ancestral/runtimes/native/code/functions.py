"""exp, tanh and their kin on vectors of float32 or float64, in one fixed sequence of roundings.

exp: x = n·ln 2 + r with |r| ≤ ln 2 / 2, e^r by its Taylor polynomial, 2^n by bits. Errors, checked
in the tests: exp 2 units in the last place; tanh, sigmoid, gelu 3e-7 absolute in float32, 1e-15 in
float64. Results below the least normal number are zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from llvmlite import ir

from ancestral.runtimes.native.code.lanes import constant, fma, intrinsic_call, size_of

V = Any  # a value of LLVM's: a vector
Maths = Callable[..., V]


def less(b: ir.IRBuilder, x: V, y: V) -> V:
    return b.select(b.fcmp_ordered("<", x, y), x, y)


def greater(b: ir.IRBuilder, x: V, y: V) -> V:
    return b.select(b.fcmp_ordered(">", x, y), x, y)


def clamped(b: ir.IRBuilder, x: V, low: float, high: float) -> V:
    return greater(b, less(b, x, constant(x.type, high)), constant(x.type, low))


def exp(b: ir.IRBuilder, x: V) -> V:
    """e^x: 0 below the normal numbers, infinity above the largest, NaN of NaN."""
    lowest, highest = (-87.3, 88.7) if size_of(x.type.element) == 4 else (-708.3, 709.7)
    value = _exp_within(b, clamped(b, x, lowest, highest))
    value = b.select(b.fcmp_ordered("<", x, constant(x.type, lowest)), constant(x.type, 0.0), value)
    value = b.select(
        b.fcmp_ordered(">", x, constant(x.type, highest)), constant(x.type, math.inf), value
    )
    return b.select(b.fcmp_unordered("uno", x, x), x, value)


def _exp_within(b: ir.IRBuilder, x: V) -> V:
    """The same where e^x is a normal number."""
    single = size_of(x.type.element) == 4
    bits, mantissa, bias = (32, 23, 127) if single else (64, 52, 1023)
    degree = 7 if single else 13
    high, low = (
        (0.693359375, -2.12194440e-4)
        if single
        else (6.93145751953125e-1, 1.42860682030941723212e-6)
    )
    n = intrinsic_call(b, "llvm.rint", b.fmul(x, constant(x.type, 1 / math.log(2))))
    r = fma(b, n, constant(x.type, -high), x)
    r = fma(b, n, constant(x.type, -low), r)
    total = constant(x.type, 1 / math.factorial(degree))
    for k in reversed(range(degree)):
        total = fma(b, total, r, constant(x.type, 1 / math.factorial(k)))
    whole = ir.VectorType(ir.IntType(bits), x.type.count)
    power = b.add(b.fptosi(n, whole), ir.Constant(whole, [bias] * x.type.count))
    power = b.shl(power, ir.Constant(whole, [mantissa] * x.type.count))
    return b.fmul(total, b.bitcast(power, x.type))


def sigmoid(b: ir.IRBuilder, x: V) -> V:
    one = constant(x.type, 1.0)
    return b.fdiv(one, b.fadd(one, exp(b, b.fneg(x))))


def tanh(b: ir.IRBuilder, x: V) -> V:
    """1 − 2 / (e^2x + 1)."""
    one, two = constant(x.type, 1.0), constant(x.type, 2.0)
    return b.fsub(one, b.fdiv(two, b.fadd(exp(b, b.fmul(two, x)), one)))


def gate(b: ir.IRBuilder, x: V, y: V) -> V:
    """tanh x · sigmoid y by one division: (A − 1) / ((A + 1)(1 + B)), A = e^2x, B = e^−y.

    Beyond ±40 in the exponents both are at their ends.
    """
    one = constant(x.type, 1.0)
    a = _exp_within(b, clamped(b, b.fmul(constant(x.type, 2.0), x), -40.0, 40.0))
    c = _exp_within(b, clamped(b, b.fneg(y), -40.0, 40.0))
    value = b.fdiv(b.fsub(a, one), b.fmul(b.fadd(a, one), b.fadd(one, c)))
    return b.select(b.fcmp_unordered("uno", x, y), b.fadd(x, y), value)


def silu(b: ir.IRBuilder, x: V) -> V:
    return b.fmul(x, sigmoid(b, x))


def sigmoid_times(b: ir.IRBuilder, x: V, y: V) -> V:
    """sigmoid x · y."""
    return b.fmul(sigmoid(b, x), y)


def gelu_tanh(b: ir.IRBuilder, x: V) -> V:
    """x · sigmoid(2 √(2/π) (x + 0.044715 x³)), the tanh form."""
    cube = b.fmul(b.fmul(x, x), x)
    inner = fma(b, cube, constant(x.type, 0.044715), x)
    return b.fmul(x, sigmoid(b, b.fmul(inner, constant(x.type, 2 * math.sqrt(2 / math.pi)))))


def quick_gelu(b: ir.IRBuilder, x: V) -> V:
    return b.fmul(x, sigmoid(b, b.fmul(constant(x.type, 1.702), x)))


def gelu(b: ir.IRBuilder, x: V) -> V:
    """x · Φ(x), of float32; erf by Abramowitz and Stegun 7.1.26 (1.5e-7 absolute)."""
    of = x.type
    z = b.fmul(intrinsic_call(b, "llvm.fabs", x), constant(of, math.sqrt(0.5)))
    t = b.fdiv(constant(of, 1.0), fma(b, z, constant(of, 0.3275911), constant(of, 1.0)))
    total = constant(of, 1.061405429)
    for c in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        total = fma(b, total, t, constant(of, c))
    tail = b.fmul(b.fmul(total, t), exp(b, b.fneg(b.fmul(z, z))))
    tail = b.fmul(tail, constant(of, 0.5))  # of the normal beyond |x|
    below = b.select(
        b.fcmp_ordered("<", x, constant(of, 0.0)), tail, b.fsub(constant(of, 1.0), tail)
    )
    return b.fmul(x, below)


def elu(b: ir.IRBuilder, x: V) -> V:
    below = b.fsub(exp(b, x), constant(x.type, 1.0))
    return b.select(b.fcmp_ordered(">", x, constant(x.type, 0.0)), x, below)


def relu(b: ir.IRBuilder, x: V) -> V:
    return b.select(b.fcmp_ordered("<", x, constant(x.type, 0.0)), constant(x.type, 0.0), x)


def maximum(b: ir.IRBuilder, x: V, y: V) -> V:
    value = greater(b, x, y)
    return b.select(b.fcmp_unordered("uno", x, x), x, value)


def least(b: ir.IRBuilder, x: V, y: V) -> V:
    value = less(b, x, y)
    return b.select(b.fcmp_unordered("uno", x, x), x, value)


def truth(b: ir.IRBuilder, test: V, of: ir.Type) -> V:
    """A comparison as 1 or 0."""
    return b.select(test, constant(of, 1.0), constant(of, 0.0))


def _compare(sign: str) -> Maths:
    def body(b: ir.IRBuilder, x: V, y: V) -> V:
        compare = b.fcmp_unordered if sign == "!=" else b.fcmp_ordered
        return truth(b, compare(sign, x, y), x.type)

    return body


def _where(b: ir.IRBuilder, test: V, yes: V, no: V) -> V:
    return b.select(b.fcmp_unordered("!=", test, constant(test.type, 0.0)), yes, no)


ONE: dict[str, Maths] = {
    "copy": lambda b, x: x,
    "neg": lambda b, x: b.fneg(x),
    "relu": relu,
    "tanh": tanh,
    "sigmoid": sigmoid,
    "exp": exp,
    "silu": silu,
    "gelu_tanh": gelu_tanh,
    "quick_gelu": quick_gelu,
    "gelu": gelu,
    "elu": elu,
    "abs": lambda b, x: intrinsic_call(b, "llvm.fabs", x),
    "square": lambda b, x: b.fmul(x, x),
    "sqrt": lambda b, x: intrinsic_call(b, "llvm.sqrt", x),
    "rsqrt": lambda b, x: b.fdiv(constant(x.type, 1.0), intrinsic_call(b, "llvm.sqrt", x)),
    "reciprocal": lambda b, x: b.fdiv(constant(x.type, 1.0), x),
    "floor": lambda b, x: intrinsic_call(b, "llvm.floor", x),
    "ceil": lambda b, x: intrinsic_call(b, "llvm.ceil", x),
    "trunc": lambda b, x: intrinsic_call(b, "llvm.trunc", x),
    "round": lambda b, x: intrinsic_call(b, "llvm.rint", x),
    "logical_not": lambda b, x: truth(b, b.fcmp_ordered("==", x, constant(x.type, 0.0)), x.type),
}
TWO: dict[str, Maths] = {
    "add": lambda b, x, y: b.fadd(x, y),
    "sub": lambda b, x, y: b.fsub(x, y),
    "mul": lambda b, x, y: b.fmul(x, y),
    "div": lambda b, x, y: b.fdiv(x, y),
    "maximum": maximum,
    "minimum": least,
    "gate": gate,
    "sigmoid_times": sigmoid_times,
    "eq": _compare("=="),
    "ne": _compare("!="),
    "lt": _compare("<"),
    "le": _compare("<="),
    "gt": _compare(">"),
    "ge": _compare(">="),
}
THREE: dict[str, Maths] = {
    "fma": fma,
    "where": _where,
}
