"""Elementwise operators that are put together from those that `code.pointwise` has."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ancestral.compile.step import Step
from ancestral.runtimes.native.lower.errors import Unsupported
from ancestral.runtimes.native.lower.lowering import Lowering
from ancestral.runtimes.native.storage import Operand

Number = Operand | float


class Terms:
    """Expressions of a step's length: each call is one operation with room for its result."""

    def __init__(self, low: Lowering, count: int) -> None:
        self.low, self.count = low, count

    def __getattr__(self, name: str) -> Callable[..., Operand]:
        def call(*values: Number) -> Operand:
            given = [
                v if isinstance(v, Operand) else self.low.number(v, self.count) for v in values
            ]
            out = self.low.temporary(self.count)
            self.low.apply(name, out, *given, count=self.count)
            return out

        return call


Composed = Callable[..., Operand]


def _hyperbolic(sign: float) -> Composed:
    def rule(t: Terms, x: Operand) -> Operand:
        return t.mul(0.5, t.fma(sign, t.exp(t.neg(x)), t.exp(x)))

    return rule


def _elu(t: Terms, x: Operand, alpha: float = 1, scale: float = 1, inner: float = 1) -> Operand:
    below = t.mul(alpha * scale, t.expm1(t.mul(inner, x)))
    return t.where(t.gt(x, 0.0), t.mul(scale, x), below)


def _hard_sigmoid(t: Terms, x: Operand) -> Operand:
    return t.div(t.minimum(t.maximum(t.add(x, 3.0), 0.0), 6.0), 6.0)


def _log_add_exp(t: Terms, x: Operand, y: Operand) -> Operand:
    return t.add(t.maximum(x, y), t.log1p(t.exp(t.neg(t.abs(t.sub(x, y))))))


def _sign(t: Terms, x: Operand) -> Operand:
    return t.sub(t.gt(x, 0.0), t.lt(x, 0.0))


COMPOSED: dict[str, Composed] = {
    "sign": _sign,
    "sgn": _sign,
    "frac": lambda t, x: t.sub(x, t.trunc(x)),
    "fmod": lambda t, x, y: t.sub(x, t.mul(t.trunc(t.div(x, y)), y)),
    "remainder": lambda t, x, y: t.sub(x, t.mul(t.floor(t.div(x, y)), y)),
    "log10": lambda t, x: t.mul(1 / math.log(10), t.log(x)),
    "sinh": _hyperbolic(-1.0),
    "cosh": _hyperbolic(1.0),
    "hypot": lambda t, x, y: t.sqrt(t.fma(x, x, t.square(y))),
    "logaddexp": _log_add_exp,
    "logit": lambda t, x: t.log(t.div(x, t.sub(1.0, x))),
    "erfc": lambda t, x: t.sub(1.0, t.erf(x)),
    "special_erf": lambda t, x: t.erf(x),
    "isnan": lambda t, x: t.ne(x, x),
    "logical_xor": lambda t, x, y: t.ne(t.ne(x, 0.0), t.ne(y, 0.0)),
    "bitwise_xor": lambda t, x, y: t.ne(x, y),
    "mish": lambda t, x: t.mul(x, t.tanh(t.softplus(x))),
    "softsign": lambda t, x: t.div(x, t.add(1.0, t.abs(x))),
    "elu": _elu,
    "celu": lambda t, x, alpha=1.0: _elu(t, x, alpha, 1, 1 / alpha),
    "selu": lambda t, x: _elu(t, x, 1.6732632423543772, 1.0507009873554805),
    "hardsigmoid": _hard_sigmoid,
    "hardswish": lambda t, x: t.mul(x, _hard_sigmoid(t, x)),
    "threshold": lambda t, x, least, value: t.where(t.gt(x, least), x, value),
    "hardshrink": lambda t, x, least=0.5: t.where(t.gt(t.abs(x), least), x, 0.0),
    "softshrink": lambda t, x, least=0.5: t.mul(
        _sign(t, x), t.maximum(t.sub(t.abs(x), least), 0.0)
    ),
    "deg2rad": lambda t, x: t.mul(math.pi / 180, x),
    "rad2deg": lambda t, x: t.mul(180 / math.pi, x),
}


def composed(low: Lowering, step: Step, out: Operand, x: list[Operand], plain: list[Any],
             kwargs: dict[str, Any], count: int) -> None:  # fmt: skip
    """The rule of every operator above; numbers stand where the step has them."""
    if kwargs:
        raise Unsupported(f"{step.op} with {kwargs}")
    values = iter(x)
    given = [o if isinstance(o, (bool, int, float)) else next(values) for o in step.operands]
    found = COMPOSED[step.op.split(".")[1]](Terms(low, count), *given)
    low.apply("copy", out, found, count=count)
