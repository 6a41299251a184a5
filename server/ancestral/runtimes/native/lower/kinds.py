"""How each kind of step becomes operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ancestral.compile.step import Absent, Read
from ancestral.runtimes.native import fields as f
from ancestral.runtimes.native.code.norms import REDUCTIONS
from ancestral.runtimes.native.lower import attend, elementwise, keyed
from ancestral.runtimes.native.lower.errors import Unsupported
from ancestral.runtimes.native.lower.lowering import Lowering
from ancestral.runtimes.native.lower.multiply import multiply, product, site_linear, site_product
from ancestral.runtimes.native.lower.norms import cumsum, norm, reduction
from ancestral.runtimes.native.lower.plan import Part
from ancestral.runtimes.native.lower.recurrent import gru, lstm, rnn, running_sum
from ancestral.runtimes.native.storage import Operand

Rule = Callable[[Lowering, Part], None]


def lower(low: Lowering, part: Part) -> None:
    """Emit a part's operations. Raises Unsupported where there is no rule."""
    step = part.step
    source = low.plan.sums.get(step.name)
    if source is not None:
        other = next(
            o for o in step.operands if not (isinstance(o, Read) and o.source == source.name)
        )
        added = low.operand(other, step, None, step.payload)
        multiply(low, Part(source, part.sub, None), low.place(step), added)
        return
    rule = (KEYED if step.keyed else RULES).get(step.kind)
    if rule is None:
        raise Unsupported(f"steps of kind {step.kind}{' over keys' if step.keyed else ''}")
    rule(low, part)


def _copy(low: Lowering, part: Part) -> None:
    step, elements = part.step, part.elements
    count = step.payload if elements is None else elements.size
    x = low.operand(step.operands[0], step, elements, count)
    out = low.scattered(part)
    low.apply("copy", out, x, count=count)
    low.settle(part, out)


def _cat(low: Lowering, part: Part) -> None:
    step = part.step
    order = step.attrs["order"] if part.elements is None else step.attrs["order"][part.elements]
    sizes = [_size(low, o) for o in step.operands]
    straight = order.size == sum(sizes) and bool((order == np.arange(order.size)).all())
    out = low.scattered(part)
    joined = out if straight else low.temporary(sum(sizes))
    at = 0
    for operand, size in zip(step.operands, sizes, strict=True):
        if bool(((order >= at) & (order < at + size)).any()):
            x = low.operand(operand, step, None, size)
            low.put(joined, at, x, size)
        at += size
    if not straight:
        low.emit(f.GATHER, out, joined, count=order.size, extra=low.indices(order))
    low.settle(part, out)


def _size(low: Lowering, operand: Any) -> int:
    if isinstance(operand, Read):
        each = low.steps[operand.source].payload if operand.pmap is None else operand.pmap.size
        return int(each) * len(operand.taps)
    return int(operand.size) if isinstance(operand, Absent) else int(operand.index.size)


def _chosen_codes(low: Lowering, part: Part) -> tuple[Operand, int]:
    """The codes behind a part's blocks of elements, and how many there are."""
    step, width = part.step, part.step.attrs["width"]
    blocks = None if part.elements is None else np.unique(part.elements // width)
    count = step.payload // width if blocks is None else blocks.size
    return low.operand(step.operands[0], step, blocks, count), count


def _embedding(low: Lowering, part: Part) -> None:
    step = part.step
    codes, count = _chosen_codes(low, part)
    name = step.operands[1].name
    table = low.weights.once(("table", name), lambda: low.weights.array(name))
    out = low.scattered(part)
    low.emit(f.EMBED, out, codes, code=table.shape[1], count=count, extra=table.ctypes.data)
    low.settle(part, out)


def _one_hot(low: Lowering, part: Part) -> None:
    codes, count = _chosen_codes(low, part)
    out = low.scattered(part)
    low.emit(f.ONE_HOT, out, codes, code=part.step.attrs["width"], count=count)
    low.settle(part, out)


RULES: dict[str, Rule] = {
    "pointwise": elementwise.pointwise,
    "copy": _copy,
    "cat": _cat,
    "embedding": _embedding,
    "one-hot": _one_hot,
    "linear": product,
    "conv": product,
    "site-linear": site_linear,
    "site-product": site_product,
    "layer-norm": norm,
    "rms-norm": norm,
    "cumsum": cumsum,
    "attend": attend.attend,
    "mix": attend.mix,
    "lstm": lstm,
    "gru": gru,
    "rnn": rnn,
    "running-sum": running_sum,
    **{kind: reduction for kind in REDUCTIONS if kind != "squares"},
}

KEYED: dict[str, Rule] = {
    "scores": attend.scores,
    "pointwise": keyed.pointwise,
    "softmax-keys": keyed.softmax,
}
