"""Fused attention as one operation over the caches of keys and values."""

from __future__ import annotations

import numpy as np

from ancestral.compile.place import Table
from ancestral.runtimes.native import fields as f
from ancestral.runtimes.native.code import attention as a
from ancestral.runtimes.native.lower.errors import Unsupported
from ancestral.runtimes.native.lower.lowering import Lowering
from ancestral.runtimes.native.lower.plan import Part


def attend(low: Lowering, part: Part) -> None:
    step = part.step
    attrs = step.attrs
    if any(isinstance(o, Table) for o in step.operands):
        raise Unsupported("attention under a mask")
    heads, width, value_width = attrs["heads"], attrs["width"], attrs["value_width"]
    keys, values = low.keys[f"{step.name}/1"], low.keys[f"{step.name}/2"]
    capacity = keys.shape[-1]
    extra = [0] * a.EXTRA
    extra[a.HEADS], extra[a.WIDTH], extra[a.VALUE_WIDTH] = heads, width, value_width
    extra[a.CAPACITY], extra[a.KEYS], extra[a.VALUES] = (
        capacity, keys.ctypes.data, values.ctypes.data
    )  # fmt: skip
    extra[a.KEY_SLOT], extra[a.VALUE_SLOT] = keys.strides[0], values.strides[0]
    extra[a.VALUE_STRIDE] = values.shape[-1]
    extra[a.NEWEST], extra[a.LEAD] = attrs["reach"] - step.lead[1], step.lead[1]
    scale = attrs["scale"]
    extra[a.SCALE] = low.number(width**-0.5 if scale is None else float(scale), 1).base
    q, k, v = (
        low.operand(o, step, None, heads * size)
        for o, size in zip(step.operands[:3], (width, width, value_width), strict=True)
    )
    low.most_scratch = max(low.most_scratch, capacity + 4 * a.BLOCK * 16 + value_width)
    low.emit(f.ATTEND, low.place(step), q, k, v, extra=low.indices(np.array(extra)))
