"""Attention as operations over the caches of keys and values; see `code.attention`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ancestral.compile.place import Table
from ancestral.compile.step import Step
from ancestral.runtimes.native import fields as f
from ancestral.runtimes.native.code import attention as a
from ancestral.runtimes.native.code import flash
from ancestral.runtimes.native.lower.errors import Unsupported
from ancestral.runtimes.native.lower.lowering import Lowering
from ancestral.runtimes.native.lower.plan import Part
from ancestral.runtimes.native.storage import Operand, padded


def keys_of(low: Lowering, step: Step, first: Step) -> list[int]:
    """The extra of an operation over the keys that the attention step `first` keeps."""
    assert low.keys is not None
    extra = [0] * a.EXTRA
    extra[a.HEADS] = first.attrs["heads"]
    extra[a.NEWEST], extra[a.LEAD] = first.attrs["reach"] - first.lead[1], first.lead[1]
    extra[a.CAPACITY] = extra[a.QUERIES] = low.keys.capacity
    places = low.keys.places(step)
    if places is None:
        return extra
    pattern, key = places.pattern, (id(places.pattern), places.reach)
    if key not in low.listed:
        wide = padded(pattern.keys.shape[1])
        lists = np.zeros((2, len(pattern.keys), wide), dtype=np.int64)
        lists[0, :, : pattern.keys.shape[1]] = np.maximum(places.place[pattern.keys], 0)
        lists[1, :, : pattern.keys.shape[1]] = pattern.keys
        arrays = (places.place, pattern.counts, lists[0], lists[1])
        low.listed[key] = tuple(low.indices(array) for array in arrays)
    extra[a.PLACE], extra[a.COUNTS], extra[a.PLACES], extra[a.KEYS] = low.listed[key]
    extra[a.PLACED], extra[a.QUERIES] = len(places.place), len(pattern.counts)
    extra[a.LISTED] = padded(pattern.keys.shape[1])
    return extra


def _stored(low: Lowering, step: Step, extra: list[int], operands: Sequence[int]) -> None:
    """Say where a step's keys and values lie."""
    assert low.keys is not None
    extra[a.ROWS + flash.SCALE] = _factor(low, step)
    scratch = padded(1)
    for i, operand in enumerate(operands):
        store, width = low.keys.store(step, operand), low.keys.width(step, operand)
        slot, head, row, _ = (stride * low.size for stride in store.stride())
        at, rows = a.STORES + i * a.STORE, a.ROWS + i * flash.VALUE_ROW
        extra[at : at + a.STORE] = [store.data_ptr(), slot, head]
        extra[rows : rows + flash.VALUE_ROW] = [row, width]
        scratch += padded(width)  # a query or a result
    low.most_scratch = max(low.most_scratch, scratch)


def _factor(low: Lowering, step: Step) -> int:
    """The address of the scale of scores."""
    scale = step.attrs["scale"] if step.kind == "attend" else 1.0
    return low.number(step.attrs["width"] ** -0.5 if scale is None else float(scale), 1).base


def attend(low: Lowering, part: Part) -> None:
    """Fused attention."""
    step, attrs = part.step, part.step.attrs
    extra = keys_of(low, step, step)
    _stored(low, step, extra, (1, 2))
    for table in step.operands[3:]:
        if not isinstance(table, Table):
            raise Unsupported("a mask that is no table")
        mask = low.over_keys(table, step)
        if mask.mode == f.BY_RANK:
            extra[a.MASK_QUERY] = mask.place
        extra[a.MASK], extra[a.MASK_SLOT], extra[a.MASK_HEAD] = mask.base, mask.slot, mask.aux
    sizes = (attrs["width"], attrs["width"], attrs["value_width"])
    q, k, v = (
        low.operand(o, step, None, attrs["heads"] * size)
        for o, size in zip(step.operands[:3], sizes, strict=True)
    )
    low.emit(f.ATTEND, low.place(step), q, k, v, extra=low.indices(np.array(extra)))


def scores(low: Lowering, part: Part) -> None:
    """Queries times keys."""
    step = part.step
    extra = keys_of(low, step, step)
    _stored(low, step, extra, (1,))
    count = step.attrs["heads"] * step.attrs["width"]
    q, k = (low.operand(o, step, None, count) for o in step.operands)
    low.emit(f.SCORES, low.keyed(step), q, k, extra=low.indices(np.array(extra)))


def mix(low: Lowering, part: Part) -> None:
    """Weights over keys times values."""
    step = part.step
    extra = keys_of(low, step, step)
    _stored(low, step, extra, (1,))
    read, heads = step.operands[0], np.arange(step.attrs["heads"])
    if read.pmap is not None and not np.array_equal(read.pmap, heads):
        raise Unsupported("weights over keys of other heads")
    weights = low.keyed(low.steps[read.source])
    v = low.operand(step.operands[1], step, None, step.attrs["heads"] * step.attrs["width"])
    low.emit(f.MIX, low.place(step), weights, v, extra=low.indices(np.array(extra)))


def listed_keys(low: Lowering, step: Step, x: Operand, extra: int, wide: int) -> Operand:
    """A table's row, the keys of the query's list one behind the other."""
    heads = step.payload
    held = replace(low.temporary(heads * wide), aux=wide * low.size)
    low.emit(f.GATHER_KEYS, held, x, extra=extra)
    return held
