"""Convolutions and linear layers of a site as products with packed weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ancestral.runtimes.native import fields as f
from ancestral.runtimes.native.code.lanes import LANES
from ancestral.runtimes.native.lower.errors import Unsupported
from ancestral.runtimes.native.lower.lowering import Lowering
from ancestral.runtimes.native.lower.plan import Part, entire
from ancestral.runtimes.native.storage import NOWHERE, Operand


def product(low: Lowering, part: Part) -> None:
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


def site_linear(low: Lowering, part: Part) -> None:
    step = entire(part)
    sizes = [step.attrs[k] for k in ("blocks", "rows", "width", "outer")]
    x = low.operand(step.operands[0], step, None, sizes[0] * sizes[1] * sizes[2])
    matrix = low.table(step.operands[1], step, None)
    low.emit(f.SITE_LINEAR, low.place(step), x, matrix, extra=low.indices(np.array(sizes)))


def site_product(low: Lowering, part: Part) -> None:
    """A product of two computed values of the site."""
    step = entire(part)
    blocks, rows, size, out = (step.attrs[k] for k in ("blocks", "rows", "width", "outer"))
    x = low.operand(step.operands[0], step, None, blocks * rows * size)
    y = low.operand(step.operands[1], step, None, blocks * size * out)
    extra = low.indices(np.array([blocks, rows, size, out]))
    low.emit(f.SITE_LINEAR, low.place(step), x, y, extra=extra)
