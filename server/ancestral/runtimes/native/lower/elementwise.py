"""Elementwise ATen operators as functions of `pointwise`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ancestral.compile.step import Step
from ancestral.runtimes.native.lower.composed import COMPOSED, composed
from ancestral.runtimes.native.lower.errors import Unsupported
from ancestral.runtimes.native.lower.lowering import Lowering
from ancestral.runtimes.native.lower.plan import CASTS, Part, to_float
from ancestral.runtimes.native.storage import Operand

DIRECT = {
    **{name: name for name in (
        "relu", "tanh", "sigmoid", "exp", "silu", "abs", "square", "sqrt", "rsqrt", "reciprocal",
        "floor", "ceil", "trunc", "round", "neg", "mul", "maximum", "minimum", "eq", "ne", "lt",
        "le", "gt", "ge", "log", "log1p", "expm1", "sin", "cos", "tan", "atan", "erf", "exp2",
        "log2", "logical_not",
    )},
    "bitwise_not": "logical_not",
    "logical_and": "mul",
    "bitwise_and": "mul",
    "logical_or": "maximum",
    "bitwise_or": "maximum",
    "clamp_min": "maximum",
    "clamp_max": "minimum",
    "log_sigmoid": "log_sigmoid",
}  # fmt: skip
ARITY = {"mul": 2, "maximum": 2, "minimum": 2, "eq": 2, "ne": 2, "lt": 2, "le": 2, "gt": 2,
         "ge": 2}  # fmt: skip


def pointwise(low: Lowering, part: Part) -> None:
    """One operator on a step's payload, or on those elements that a sub-step computes."""
    step, elements = part.step, part.elements
    count = step.payload if elements is None else elements.size
    out = low.scattered(part)
    gate = low.plan.gates.get(step.name)
    if gate is not None:
        values = [low.operand(s.operands[0], s, None, count) for s in gate]
        if len(gate) == 1:  # sigmoid of one operand, times the other
            other = next(o for o in step.operands if getattr(o, "source", None) != gate[0].name)
            values.append(low.operand(other, step, None, count))
        low.apply("gate" if len(gate) == 2 else "sigmoid_times", out, *values, count=count)
        return
    name = step.op.split(".")[1]
    numbers = [o for o in step.operands if not isinstance(o, (bool, int, float))]
    x = [
        low.operand(o, step, elements, count)
        for o in (step.operands if name not in RULES else numbers)
        if not _is_type(o)
    ]
    kwargs = {k: v for k, v in step.attrs["kwargs"].items() if k not in ("dtype", "memory_format")}
    if name in RULES:
        plain = [o for o in step.operands if isinstance(o, (bool, int, float))]
        RULES[name](low, step, out, x, plain, kwargs, count)
    elif name in DIRECT and not kwargs:
        function = DIRECT[name]
        low.apply(function, out, *x[: ARITY.get(function, 1)], count=count)
    elif name in CASTS and to_float(step):
        low.apply("copy", out, x[0], count=count)
    else:
        raise Unsupported(f"the operator {step.op}")
    low.settle(part, out)


def _is_type(operand: Any) -> bool:
    return type(operand).__module__ == "torch" or operand is None


Apply = Callable[[Lowering, Step, Operand, list[Operand], list[Any], dict[str, Any], int], None]


def _linear(sign: float, swapped: bool) -> Apply:
    """a ± alpha·b."""

    def rule(low: Lowering, step: Step, out: Operand, x: list[Operand], plain: list[Any],
             kwargs: dict[str, Any], count: int) -> None:  # fmt: skip
        values = iter(x)
        a, b = (
            low.number(float(o), count) if isinstance(o, (bool, int, float)) else next(values)
            for o in step.operands[:2]
        )
        if swapped:
            a, b = b, a
        alpha = kwargs.pop("alpha", 1)
        if kwargs or len(step.operands) > 2:
            raise Unsupported(f"{step.op} with {kwargs}")
        if alpha == 1:
            low.apply("add" if sign > 0 else "sub", out, a, b, count=count)
        else:
            low.apply("fma", out, b, low.number(sign * alpha, count), a, count=count)

    return rule


def _div(low: Lowering, step: Step, out: Operand, x: list[Operand], plain: list[Any],
         kwargs: dict[str, Any], count: int) -> None:  # fmt: skip
    if kwargs:
        raise Unsupported(f"{step.op} with {kwargs}")
    values = iter(x)
    a, b = (
        low.number(float(o), count) if isinstance(o, (bool, int, float)) else next(values)
        for o in step.operands
    )
    low.apply("div", out, a, b, count=count)


def _gelu(low: Lowering, step: Step, out: Operand, x: list[Operand], plain: list[Any],
          kwargs: dict[str, Any], count: int) -> None:  # fmt: skip
    if kwargs.get("approximate", "none") == "tanh":
        name = "gelu_tanh"
    else:
        name = "gelu" if low.dtype == np.float32 else "gelu_exact"
    low.apply(name, out, x[0], count=count)


def _elu(low: Lowering, step: Step, out: Operand, x: list[Operand], plain: list[Any],
         kwargs: dict[str, Any], count: int) -> None:  # fmt: skip
    if any(v != 1 for v in (*plain, *kwargs.values())):
        composed(low, step, out, x, plain, kwargs, count)
    else:
        low.apply("elu", out, x[0], count=count)


def _leaky(low: Lowering, step: Step, out: Operand, x: list[Operand], plain: list[Any],
           kwargs: dict[str, Any], count: int) -> None:  # fmt: skip
    slope = plain[0] if plain else kwargs.get("negative_slope", 0.01)
    test, less = low.temporary(count), low.temporary(count)
    low.apply("gt", test, x[0], low.number(0.0, count), count=count)
    low.apply("mul", less, x[0], low.number(float(slope), count), count=count)
    low.apply("where", out, test, x[0], less, count=count)


def _clamp(least: float | None = None, most: float | None = None) -> Apply:
    def rule(low: Lowering, step: Step, out: Operand, x: list[Operand], plain: list[Any],
             kwargs: dict[str, Any], count: int) -> None:  # fmt: skip
        given = dict(zip(("min", "max"), step.operands[1:], strict=False)) | kwargs
        lowest = given.get("min", given.get("min_val", least))
        highest = given.get("max", given.get("max_val", most))
        value = x[0]
        for name, bound in (("maximum", lowest), ("minimum", highest)):
            if bound is None:
                continue
            if not isinstance(bound, (int, float)):
                raise Unsupported(f"{step.op} with tensors")
            low.apply(name, out, value, low.number(float(bound), count), count=count)
            value = out

    return rule


def _pow(low: Lowering, step: Step, out: Operand, x: list[Operand], plain: list[Any],
         kwargs: dict[str, Any], count: int) -> None:  # fmt: skip
    base, exponent = step.operands[:2]
    if exponent == 2:
        low.apply("square", out, x[0], count=count)
    elif isinstance(base, (int, float)):
        low.apply("pow", out, low.number(float(base), count), x[0], count=count)
    else:
        power = x[1] if len(x) > 1 else low.number(float(exponent), count)
        low.apply("pow", out, x[0], power, count=count)


def _where(low: Lowering, step: Step, out: Operand, x: list[Operand], plain: list[Any],
           kwargs: dict[str, Any], count: int) -> None:  # fmt: skip
    values = iter(x)
    test, yes, no = (
        low.number(float(o), count) if isinstance(o, (bool, int, float)) else next(values)
        for o in step.operands
    )
    low.apply("where", out, test, yes, no, count=count)


def _masked_fill(low: Lowering, step: Step, out: Operand, x: list[Operand], plain: list[Any],
                 kwargs: dict[str, Any], count: int) -> None:  # fmt: skip
    fill = x[2] if len(x) > 2 else low.number(float(plain[0]), count)
    low.apply("where", out, x[1], fill, x[0], count=count)


def _softplus(low: Lowering, step: Step, out: Operand, x: list[Operand], plain: list[Any],
              kwargs: dict[str, Any], count: int) -> None:  # fmt: skip
    if tuple(plain) not in ((), (1,), (1, 20)) or kwargs:
        raise Unsupported(f"{step.op} with {plain}")
    low.apply("softplus", out, x[0], count=count)


RULES: dict[str, Apply] = {
    **dict.fromkeys(COMPOSED, composed),
    "add": _linear(1, False),
    "sub": _linear(-1, False),
    "rsub": _linear(-1, True),
    "div": _div,
    "gelu": _gelu,
    "elu": _elu,
    "leaky_relu": _leaky,
    "clamp": _clamp(),
    "hardtanh": _clamp(-1.0, 1.0),
    "relu6": _clamp(0.0, 6.0),
    "pow": _pow,
    "where": _where,
    "masked_fill": _masked_fill,
    "softplus": _softplus,
}
