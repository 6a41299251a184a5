"""How each kind of step becomes operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ancestral.compile.program import Absent, Read, Step
from ancestral.runtimes.native import fields as f
from ancestral.runtimes.native.code.lanes import LANES
from ancestral.runtimes.native.code.norms import REDUCTIONS
from ancestral.runtimes.native.lower import attend, elementwise, keyed
from ancestral.runtimes.native.lower.errors import Unsupported
from ancestral.runtimes.native.lower.lowering import Lowering
from ancestral.runtimes.native.lower.plan import Part
from ancestral.runtimes.native.lower.recurrent import gru, lstm, rnn, running_sum
from ancestral.runtimes.native.storage import NOWHERE, Operand

Rule = Callable[[Lowering, Part], None]


def lower(low: Lowering, part: Part) -> None:
    """Emit a part's operations. Raises Unsupported where there is no rule."""
    step = part.step
    product = low.plan.sums.get(step.name)
    if product is not None:
        other = next(
            o for o in step.operands if not (isinstance(o, Read) and o.source == product.name)
        )
        added = low.operand(other, step, None, step.payload)
        multiply(low, Part(product, part.sub, None), low.place(step), added)
        return
    rule = (KEYED if step.keyed else RULES).get(step.kind)
    if rule is None:
        raise Unsupported(f"steps of kind {step.kind}{' over keys' if step.keyed else ''}")
    rule(low, part)


def _product(low: Lowering, part: Part) -> None:
    out = low.scattered(part)
    multiply(low, part, out, NOWHERE)
    low.settle(part, out)


def multiply(low: Lowering, part: Part, out: Operand, added: Operand) -> None:
    """A convolution or linear layer of one site."""
    step = part.step
    attrs, elements = step.attrs, part.elements
    segments = low.runs(step.operands[0], step)
    name = (attrs["weight"], attrs["bias"])
    key: tuple[Any, ...] = (step.kind, *name, None if elements is None else elements.tobytes())

    def rows(array: Any) -> Any:
        return array if elements is None else array[elements]

    def bias() -> Any:
        return None if attrs["bias"] is None else rows(low.weights.array(attrs["bias"]).ravel())

    if step.kind == "linear":

        def matrix() -> Any:
            found = low.weights.array(attrs["weight"])
            return rows(found.T if attrs["transposed"] else found)

        _by_groups(low, out, segments, (*key, attrs["transposed"]), matrix, bias, attrs["outer"],
                   added)  # fmt: skip
        return
    taps, groups = attrs["taps"], attrs["groups"]
    key = (*key, tuple(taps))

    def stacked() -> Any:
        weight = low.weights.array(attrs["weight"])
        return rows(np.concatenate([weight[(slice(None), slice(None), *t)] for t in taps], 1))

    if groups == 1:
        low.product(out, segments, key, stacked, bias, added)
        return
    if elements is not None:
        raise Unsupported("a part of a grouped convolution")
    width = step.payload // groups
    channels = sum(count for _, count in segments) // len(taps)  # that a tap reads
    size = channels // groups
    for group in range(groups):
        own = slice(group * width, (group + 1) * width)

        def of_group(own: slice = own) -> Any:
            return stacked()[own]

        def own_bias(own: slice = own) -> Any:
            found = bias()
            return None if found is None else found[own]

        firsts = range(group * size, len(taps) * channels, channels)
        parts = [(_within(low, segments, first, size), size) for first in firsts]
        own_sum = added.moved(group * width * low.size) if added.base else added
        _at(low, out, group * width, width, parts, (*key, group), of_group, own_bias, own_sum)


def _within(
    low: Lowering, segments: Sequence[tuple[Operand, int]], first: int, count: int
) -> Operand:
    """Where elements `first` … of what the segments hold lie; a segment holds whole taps."""
    for operand, held in segments:
        if first < held:
            assert first + count <= held
            return operand.moved(first * low.size)
        first -= held
    raise IndexError(first)


def _at(
    low: Lowering, out: Operand, at: int, width: int, segments: Any, key: Any, matrix: Any,
    bias: Any, added: Operand = NOWHERE,
) -> None:  # fmt: skip
    """A product whose result begins at element `at`, which need not be a vector's place."""
    if at % LANES == 0:
        low.product(out.moved(at * low.size), segments, key, matrix, bias, added)
        return
    held = low.temporary(width)
    low.product(held, segments, key, matrix, bias, added)
    low.put(out, at, held, width)


def _by_groups(
    low: Lowering, out: Operand, segments: Any, key: Any, matrix: Any, bias: Any, outer: int,
    added: Operand,
) -> None:  # fmt: skip
    """The same matrix for each of `outer` parts of the payload."""
    if outer == 1:
        low.product(out, segments, key, matrix, bias, added)
        return
    if len(segments) > 1:
        raise Unsupported("a product over parts of several sites")
    ((operand, count),) = segments
    size, width = count // outer, matrix().shape[0]
    for i in range(outer):
        parts = [(operand.moved(i * size * low.size), size)]
        _at(low, out, i * width, width, parts, key, matrix, bias)


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


def _norm(low: Lowering, part: Part) -> None:
    step = _whole(part)
    inner = step.attrs["inner"]
    names = [*step.attrs["weights"], None][:2]
    found = [
        0 if n is None else low.weights.once(("flat", n), lambda n=n: low.weights.array(n).ravel())
        for n in names
    ]
    eps = step.attrs["eps"]
    eps = float(np.finfo(low.dtype).eps) if eps is None else float(eps)
    held = low.number(eps, 1)
    addresses = [a if isinstance(a, int) else a.ctypes.data for a in found]
    extra = [*addresses, held.base, int(step.kind == "rms-norm"), low.size]
    x = low.operand(step.operands[0], step, None, step.payload)
    low.emit(f.NORM, low.place(step), x, code=inner, count=step.payload // inner,
             extra=low.indices(np.array(extra)))  # fmt: skip


def _reduction(low: Lowering, part: Part) -> None:
    step = _whole(part)
    extra = low.indices(np.array(_around(step.attrs["shape"], step.attrs["axes"])))
    x = low.operand(step.operands[0], step, None, int(np.prod(step.attrs["shape"])))
    low.emit(f.REDUCE, low.place(step), x, code=REDUCTIONS[step.kind], extra=extra)


def _cumsum(low: Lowering, part: Part) -> None:
    step = _whole(part)
    axis = step.attrs["axis"] % len(step.attrs["shape"])
    extra = low.indices(np.array(_around(step.attrs["shape"], (axis,))))
    x = low.operand(step.operands[0], step, None, step.payload)
    low.emit(f.CUMSUM, low.place(step), x, extra=extra)


def _around(shape: Any, axes: Any) -> list[int]:
    """A shape as [before, axes, behind]. Raises Unsupported where the axes do not adjoin."""
    sizes = [s for s in range(len(shape)) if shape[s] != 1]
    wanted = [s for s in sizes if s in {a % len(shape) for a in axes}]
    if not wanted:
        return [int(np.prod(shape)), 1, 1]
    between = [s for s in sizes if wanted[0] <= s <= wanted[-1]]
    if between != wanted:
        raise Unsupported("a reduction over axes that do not adjoin")
    return [
        int(np.prod(shape[: wanted[0]])),
        int(np.prod(shape[wanted[0] : wanted[-1] + 1])),
        int(np.prod(shape[wanted[-1] + 1 :])),
    ]


def _site_linear(low: Lowering, part: Part) -> None:
    step = _whole(part)
    sizes = [step.attrs[k] for k in ("blocks", "rows", "width", "outer")]
    x = low.operand(step.operands[0], step, None, sizes[0] * sizes[1] * sizes[2])
    matrix = low.table(step.operands[1], step, None)
    low.emit(f.SITE_LINEAR, low.place(step), x, matrix, extra=low.indices(np.array(sizes)))


def _site_product(low: Lowering, part: Part) -> None:
    """A product of two computed values of the site."""
    step = _whole(part)
    blocks, rows, size, out = (step.attrs[k] for k in ("blocks", "rows", "width", "outer"))
    x = low.operand(step.operands[0], step, None, blocks * rows * size)
    y = low.operand(step.operands[1], step, None, blocks * size * out)
    extra = low.indices(np.array([blocks, rows, size, out]))
    low.emit(f.SITE_LINEAR, low.place(step), x, y, extra=extra)


def _whole(part: Part) -> Step:
    if part.elements is not None:
        raise Unsupported(f"a part of a step of kind {part.step.kind}")
    return part.step


RULES: dict[str, Rule] = {
    "pointwise": elementwise.pointwise,
    "copy": _copy,
    "cat": _cat,
    "embedding": _embedding,
    "one-hot": _one_hot,
    "linear": _product,
    "conv": _product,
    "site-linear": _site_linear,
    "site-product": _site_product,
    "layer-norm": _norm,
    "rms-norm": _norm,
    "cumsum": _cumsum,
    "attend": attend.attend,
    "mix": attend.mix,
    "lstm": lstm,
    "gru": gru,
    "rnn": rnn,
    "running-sum": running_sum,
    **{kind: _reduction for kind in REDUCTIONS if kind != "squares"},
}

KEYED: dict[str, Rule] = {
    "scores": attend.scores,
    "pointwise": keyed.pointwise,
    "softmax-keys": keyed.softmax,
}
