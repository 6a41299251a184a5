"""How each kind of step over elements becomes operations; the rest of the rules is in `kinds`."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from ancestral.compile.elements import Rows, Weight
from ancestral.runtimes.native import fields as f
from ancestral.runtimes.native.code import element_attention as a
from ancestral.runtimes.native.code.norms import REDUCTIONS
from ancestral.runtimes.native.lower.elements import ElementLowering
from ancestral.runtimes.native.lower.errors import Unsupported
from ancestral.runtimes.native.lower.kinds import RULES, Rule
from ancestral.runtimes.native.lower.lowering import Lowering
from ancestral.runtimes.native.lower.multiply import multiply
from ancestral.runtimes.native.lower.plan import Part
from ancestral.runtimes.native.storage import NOWHERE, Array, Operand, padded, zeros


def _pointwise(low: Lowering, part: Part) -> None:
    if part.elements is not None and part.elements.size == part.step.payload:
        part = Part(part.step, part.sub, None)
    RULES["pointwise"](low, part)


def _running_sum(low: Lowering, part: Part) -> None:
    step, count = part.step, part.step.payload if part.elements is None else part.elements.size
    own, before = (low.operand(o, step, part.elements, count) for o in step.operands)
    low.apply("add", low.scattered(part), own, before, count=count)


def _embedding(low: Lowering, part: Part) -> None:
    step = part.step
    if part.elements is not None:
        raise Unsupported("a part of an embedding over elements")
    (name,) = [o.name for o in step.operands if isinstance(o, Weight)]
    (read,) = [o for o in step.operands if isinstance(o, Rows)]
    ((codes, count),) = low.runs(cast(Any, read), step)
    table = low.weights.once(("table", name), lambda: low.weights.array(name))
    low.emit(f.EMBED, low.place(step), codes, code=table.shape[1], count=count,
             extra=table.ctypes.data)  # fmt: skip


def _conv_transpose(low: Lowering, part: Part) -> None:
    """The taps of one phase as one product."""
    step = part.step
    attrs, taps = step.attrs, tuple(step.attrs["taps"])
    if attrs["groups"] != 1 or part.elements is not None:
        raise Unsupported("a grouped or partly computed transposed convolution")

    def bias() -> Any:
        return None if attrs["bias"] is None else low.weights.array(attrs["bias"])

    out = low.scattered(part)
    key = ("conv-transpose", attrs["weight"], attrs["bias"], taps)
    if not taps:
        held = low.weights.once((*key, "alone"), lambda: _spread(bias(), step.payload, low.dtype))
        low.apply("copy", out, Operand(held.ctypes.data), count=step.payload)
        return

    def matrix() -> Any:
        weight = low.weights.array(attrs["weight"])
        return np.concatenate([weight[(slice(None), slice(None), *t)] for t in taps], 0).T

    low.product(out, low.runs(step.operands[0], step), key, matrix, bias)


def _spread(bias: Array | None, size: int, dtype: np.dtype[Any]) -> Array:
    """A bias in whole vectors; zeros where there is none."""
    found = zeros((padded(size),), dtype)
    if bias is not None:
        found[:size] = bias
    return found


def _product(low: Lowering, part: Part) -> None:
    multiply(low, part, low.scattered(part), NOWHERE)


def _dot(low: Lowering, part: Part) -> None:
    """Σ a·b of two rows."""
    first = cast(Rows, part.step.operands[0])
    _row_product(low, part, first.base.shape[1] * first.off.size, 1)


def _rows_by_matrix(low: Lowering, part: Part) -> None:
    """A row times a matrix of its own."""
    first = cast(Rows, part.step.operands[0])
    _row_product(low, part, first.base.shape[1] * first.off.size, part.step.attrs["width"])


def _row_product(low: Lowering, part: Part, size: int, width: int) -> None:
    step = part.step
    if part.elements is not None and part.elements.size < step.payload:
        raise Unsupported(f"a part of a step of kind {step.kind}")
    x, y = (low.operand(o, step, None, 0) for o in step.operands)
    extra = low.indices(np.array([1, 1, size, width]))
    low.emit(f.SITE_LINEAR, low.place(step), x, y, extra=extra)


def _group_norm(low: Lowering, part: Part) -> None:
    """A layer norm whose weights are those of the group's channels, each for all its positions."""
    step, attrs = part.step, part.step.attrs
    per, channels = attrs["per"], attrs["channels"]

    def spread(name: str) -> Array:
        return np.repeat(low.weights.array(name)[channels], per)

    names = [None if n is None else (n, channels.start, per) for n in attrs["weights"]]
    held = [
        0 if n is None else low.weights.once(n, lambda n=n: spread(n[0])).ctypes.data for n in names
    ]
    eps = low.number(float(attrs["eps"]), 1).base
    extra = low.indices(np.array([*held, eps, 0, low.size]))
    x = low.operand(step.operands[0], step, None, step.payload)
    low.emit(f.NORM, low.place(step), x, code=step.payload, count=1, extra=extra)


def _truth(low: Lowering, part: Part) -> None:
    """any, all: the largest or least of what is not zero."""
    step = part.step
    size = int(np.prod(step.attrs["shape"]))
    x, test = low.operand(step.operands[0], step, None, size), low.temporary(size)
    low.apply("ne", test, x, low.number(0.0, size), count=size)
    code = REDUCTIONS["amax" if step.kind == "any" else "amin"]
    low.emit(f.REDUCE, low.place(step), test, code=code, extra=low.indices(np.array([1, size, 1])))


def _variance(low: Lowering, part: Part) -> None:
    step = part.step
    size = int(np.prod(step.attrs["shape"]))
    x, squares = low.operand(step.operands[0], step, None, size), low.temporary(1)
    low.emit(f.REDUCE, squares, x, code=REDUCTIONS["squares"],
             extra=low.indices(np.array([1, size, 1])))  # fmt: skip
    share = low.number(1 / (size - step.attrs["correction"]), 1)
    low.apply("mul", low.place(step), squares, share, count=1)


def _attend(low: Lowering, part: Part) -> None:
    """Fused attention: each query's list of keys and values, by address."""
    assert isinstance(low, ElementLowering)
    assert low.rows is not None
    step, attrs = part.step, part.step.attrs
    if part.elements is not None and part.elements.size < step.payload:
        raise Unsupported("a part of a step of kind attend")
    allowed = attrs["allowed"]  # [heads, queries, keys]
    heads, queries, count = allowed.shape
    head, query = np.divmod(low.rows, queries)
    which, found = np.nonzero(allowed[head, query])
    counts = np.bincount(which, minlength=len(low.rows))
    width, value_width = attrs["keys"].shape[-1], attrs["values"].shape[-1]
    extra = [0] * a.EXTRA
    extra[a.STARTS] = low.indices(np.concatenate([[0], np.cumsum(counts)]))
    extra[a.LISTED] = low.indices(head[which] * count + found)
    extra[a.KEYS], extra[a.VALUES] = low.indices(attrs["keys"]), low.indices(attrs["values"])
    sizes = [(padded(size) * low.size, size) for size in (width, value_width)]
    extra[a.ROWS :] = [*sizes[0], *sizes[1], low.number(float(attrs["scale"]), 1).base]
    if attrs["mask"] is not None:
        bias = low.weights.array(attrs["mask"])
        bias = np.broadcast_to(bias, (*(1,) * (4 - bias.ndim), *bias.shape))
        bias = np.broadcast_to(bias[0], (heads, queries, count))
        held = zeros((which.size,), low.dtype)
        held[:] = bias[head[which], query[which], found]
        low.memory.append(held)
        extra[a.BIAS] = held.ctypes.data
    most = padded(int(counts.max()))
    room = (1 + most) * (padded(width) + padded(value_width))  # query, result, keys, values
    low.most_scratch = max(low.most_scratch, room)
    q = low.operand(step.operands[0], step, None, width)
    low.emit(f.ATTEND_ROWS, low.place(step), q, extra=low.indices(np.array(extra)))


ELEMENT_RULES: dict[str, Rule] = {
    "pointwise": _pointwise,
    "linear": _product,
    "conv": _product,
    "conv-transpose": _conv_transpose,
    "embedding": _embedding,
    "one-hot": RULES["one-hot"],
    "running-sum": _running_sum,
    "group-norm": _group_norm,
    "dot": _dot,
    "rows-by-matrix": _rows_by_matrix,
    "attend": _attend,
    "any": _truth,
    "all": _truth,
    "var": _variance,
    **{kind: RULES[kind] for kind in ("layer-norm", "rms-norm", "cumsum", "softmax", "log-softmax",
                                      "sum", "mean", "amax", "amin", "prod", "logsumexp")},
}  # fmt: skip


def lower(low: Lowering, part: Part) -> None:
    """Emit a part's operations. Raises Unsupported where there is no rule."""
    rule = ELEMENT_RULES.get(part.step.kind)
    if rule is None:
        raise Unsupported(f"steps of kind {part.step.kind} over elements")
    rule(low, part)
