"""Operators on elements, their types promoted as torch does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from ancestral.compile.graph import Ref
from ancestral.likelihoods.quantile import FAR, MIDDLE, NEAR
from ancestral.runtimes.onnx.writer import Args, Writer, rule

SAME = {
    "relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid", "exp": "Exp", "log": "Log",
    "sqrt": "Sqrt", "abs": "Abs", "neg": "Neg", "floor": "Floor", "ceil": "Ceil",
    "round": "Round", "sign": "Sign", "sin": "Sin", "cos": "Cos", "erf": "Erf",
    "reciprocal": "Reciprocal", "logical_not": "Not", "softsign": "Softsign",
}  # fmt: skip
BINARY = {"mul": "Mul", "maximum": "Max", "minimum": "Min", "pow": "Pow"}
COMPARISONS = {
    "eq": "Equal", "lt": "Less", "le": "LessOrEqual", "gt": "Greater", "ge": "GreaterOrEqual",
}  # fmt: skip
LOGIC = {"and": "And", "or": "Or", "xor": "Xor"}


def real(w: Writer, a: Args, name: str = "self") -> str:
    """An operand in the type of the result."""
    return w.tensor(a[name], w.result.dtype)


def both(w: Writer, a: Args) -> tuple[str, str]:
    left, right = a.get("self", a.get("exponent")), a.get("other", a.get("exponent"))
    return w.tensor(left, w.result.dtype), w.tensor(right, w.result.dtype)


def _unary(w: Writer, a: Args) -> Any:
    name = a["op"].split(".")[1]
    return w.op(SAME[name], real(w, a))


def _binary(w: Writer, a: Args) -> Any:
    return w.op(BINARY[a["op"].split(".")[1]], *both(w, a))


def _compare(w: Writer, a: Args) -> Any:
    dtype = torch.result_type(w.example(a["self"]), w.example(a["other"]))
    dtype = torch.int64 if dtype == torch.bool else dtype
    sides = (w.tensor(a["self"], dtype), w.tensor(a["other"], dtype))
    return w.op(COMPARISONS[a["op"].split(".")[1]], *sides)


def _logic(w: Writer, a: Args) -> Any:
    kind = LOGIC[a["op"].split(".")[1].strip("_").split("_")[-1]]
    if w.result.dtype == torch.bool:
        return w.op(kind, w.tensor(a["self"], torch.bool), w.tensor(a["other"], torch.bool))
    return w.op(f"Bitwise{kind}", *both(w, a))


rule(*SAME)(_unary)
rule(*BINARY)(_binary)
rule(*COMPARISONS)(_compare)
rule(*(f"{kind}_{name}" for kind in ("bitwise", "logical") for name in LOGIC))(_logic)
rule(*(f"__{name}__" for name in LOGIC))(_logic)


@rule("ne")
def ne(w: Writer, a: Args) -> Any:
    return w.op("Not", _compare(w, {**a, "op": "aten.eq"}))


@rule("bitwise_not")
def bitwise_not(w: Writer, a: Args) -> Any:
    return w.op("Not" if w.result.dtype == torch.bool else "BitwiseNot", real(w, a))


@rule("add", "sub")
def add(w: Writer, a: Args) -> Any:
    left, right = both(w, a)
    if a.get("alpha", 1) != 1:
        right = w.op("Mul", right, w.tensor(a["alpha"], w.result.dtype))
    return w.op("Add" if a["op"].startswith("aten.add") else "Sub", left, right)


@rule("rsub")
def rsub(w: Writer, a: Args) -> Any:
    return add(w, {**a, "self": a["other"], "other": a["self"], "op": "aten.sub"})


def floored(w: Writer, left: str, right: str, dtype: torch.dtype) -> str:
    """Division rounded down."""
    if dtype.is_floating_point:
        return str(w.op("Floor", w.op("Div", left, right)))
    return str(w.op("Div", w.op("Sub", left, w.op("Mod", left, right)), right))


@rule("div", "true_divide", "floor_divide")
def div(w: Writer, a: Args) -> Any:
    left, right = both(w, a)
    mode = "floor" if "floor_divide" in a["op"] else a.get("rounding_mode")
    if mode == "floor":
        return floored(w, left, right, w.result.dtype)
    if mode is not None:
        raise NotImplementedError(f"rounding_mode {mode}")
    return w.op("Div", left, right)


@rule("remainder")
def remainder(w: Writer, a: Args) -> Any:
    left, right = both(w, a)
    if not w.result.dtype.is_floating_point:
        return w.op("Mod", left, right)
    return w.op("Sub", left, w.op("Mul", floored(w, left, right, w.result.dtype), right))


@rule("where")
def where(w: Writer, a: Args) -> Any:
    condition, (one, other) = w.tensor(a["condition"], torch.bool), both(w, a)
    if w.result.dtype != torch.bool:
        return w.op("Where", condition, one, other)
    # ONNX Runtime chooses among numbers only
    chosen, rest = w.op("And", condition, one), w.op("And", w.op("Not", condition), other)
    return w.op("Or", chosen, rest)


@rule("masked_fill")
def masked_fill(w: Writer, a: Args) -> Any:
    value = w.tensor(a["value"], w.result.dtype)
    return w.op("Where", w.tensor(a["mask"], torch.bool), value, real(w, a))


@rule("clamp", "clamp_min", "clamp_max", "hardtanh", "relu6")
def clamp(w: Writer, a: Args) -> Any:
    low, high = a.get("min", a.get("min_val")), a.get("max", a.get("max_val"))
    bounds = ["" if b is None else w.tensor(b, w.result.dtype) for b in (low, high)]
    return w.op("Clip", real(w, a), *bounds)


@rule("log1p")
def log1p(w: Writer, a: Args) -> Any:
    return w.op("Log", w.op("Add", real(w, a), w.tensor(1.0, w.result.dtype)))


@rule("square")
def square(w: Writer, a: Args) -> Any:
    x = real(w, a)
    return w.op("Mul", x, x)


@rule("rsqrt")
def rsqrt(w: Writer, a: Args) -> Any:
    return w.op("Reciprocal", w.op("Sqrt", real(w, a)))


@rule("silu")
def silu(w: Writer, a: Args) -> Any:
    x = real(w, a)
    return w.op("Mul", x, w.op("Sigmoid", x))


@rule("softplus")
def softplus(w: Writer, a: Args) -> Any:
    if a["beta"] != 1:
        raise NotImplementedError(f"beta {a['beta']}")
    return w.op("Softplus", real(w, a))


@rule("log_sigmoid")
def log_sigmoid(w: Writer, a: Args) -> Any:
    return w.op("Neg", w.op("Softplus", w.op("Neg", real(w, a))))


@rule("gelu")
def gelu(w: Writer, a: Args) -> Any:
    """x Φ(x), Φ by erf or by its tanh form (Hendrycks & Gimpel 2016)."""
    x = real(w, a)

    def number(value: float) -> str:
        return w.tensor(value, w.result.dtype)

    if a["approximate"] == "tanh":
        cube = w.op("Mul", w.op("Mul", x, x), x)
        inner = w.op("Add", x, w.op("Mul", cube, number(0.044715)))
        bent = w.op("Tanh", w.op("Mul", inner, number(math.sqrt(2 / math.pi))))
    else:
        bent = w.op("Erf", w.op("Mul", x, number(math.sqrt(0.5))))
    return w.op("Mul", w.op("Mul", x, number(0.5)), w.op("Add", bent, number(1.0)))


@rule("elu")
def elu(w: Writer, a: Args) -> Any:
    if a["scale"] != 1 or a["input_scale"] != 1:
        raise NotImplementedError("scaled")
    return w.op("Elu", real(w, a), alpha=float(a["alpha"]))


@rule("leaky_relu")
def leaky_relu(w: Writer, a: Args) -> Any:
    return w.op("LeakyRelu", real(w, a), alpha=float(a["negative_slope"]))


@rule("special_ndtri")
def ndtri(w: Writer, a: Args) -> Any:
    """x with Φ(x) = p; see `likelihoods.quantile`."""
    p, dtype = w.tensor(a["self"], w.result.dtype), w.result.dtype

    def number(value: float) -> str:
        return w.tensor(value, dtype)

    def ratio(x: str, parts: Sequence[Sequence[float]]) -> str:
        found = []
        for powers in parts:
            total = number(powers[0])
            for power in powers[1:]:
                total = w.op("Add", w.op("Mul", total, x), number(power))
            found.append(total)
        return str(w.op("Div", *found))

    q = w.op("Sub", p, number(0.5))
    near = w.op("Mul", q, ratio(w.op("Sub", number(0.180625), w.op("Mul", q, q)), NEAR))
    least = w.op("Min", p, w.op("Sub", number(1.0), p))
    r = w.op("Sqrt", w.op("Neg", w.op("Log", least)))
    middle = ratio(w.op("Sub", r, number(1.6)), MIDDLE)
    far = ratio(w.op("Sub", r, number(5.0)), FAR)
    tail = w.op("Where", w.op("LessOrEqual", r, number(5.0)), middle, far)
    tail = w.op("Mul", tail, w.op("Sign", q))
    inside = w.op("LessOrEqual", w.op("Abs", q), number(0.425))
    return w.op("Where", inside, near, tail)


@rule("_to_copy", "to")
def to(w: Writer, a: Args) -> Any:
    return w.tensor(a["self"], w.result.dtype)


@rule("type_as")
def type_as(w: Writer, a: Args) -> Any:
    return w.tensor(a["self"], w.result.dtype)


@rule("alias", "clone", "contiguous", "detach", "lift_fresh", "lift_fresh_copy", "dropout")
def same(w: Writer, a: Args) -> Any:
    return w.tensor(a.get("self", a.get("input")))


_ARITHMETIC = {
    "add": "Add", "sub": "Sub", "mul": "Mul", "mod": "Mod", "neg": "Neg", "truediv": "Div",
    "pow": "Pow", "sym_max": "Max", "sym_min": "Min", "ceil": "Ceil", "floor": "Floor",
    "trunc": "Floor",
}  # fmt: skip


@rule("operator.getitem")
def getitem(w: Writer, a: Args) -> Any:
    values, index = a["args"]
    return w.value(values)[index]


@rule("torch.sym_float", "torch.sym_int")
def cast_size(w: Writer, a: Args) -> Any:
    real_ = a["op"].endswith("float")
    return w.cast(w.tensor(a["args"][0]), torch.float64 if real_ else torch.int64)


@rule("operator.floordiv")
def floordiv(w: Writer, a: Args) -> Any:
    left, right = (w.tensor(v, torch.int64) for v in a["args"])
    return floored(w, left, right, torch.int64)


@rule(*(f"{space}.{name}" for space in ("operator", "torch", "math") for name in _ARITHMETIC))
def arithmetic(w: Writer, a: Args) -> Any:
    """Of sizes: int64 and float64 scalars."""
    name = a["op"].split(".")[1]
    whole = all(not isinstance(w.example(v), float) for v in a["args"]) and name not in (
        "truediv",
        "ceil",
        "floor",
        "trunc",
    )
    dtype = torch.int64 if whole else torch.float64
    operands = [
        w.cast(w.value(v), dtype) if isinstance(v, Ref) else w.tensor(v, dtype) for v in a["args"]
    ]
    found = w.op(_ARITHMETIC[name], *operands)
    return w.cast(found, torch.int64) if isinstance(w.result, int) and not whole else found
