"""Which addresses each row of a step reads, and by when: the edges of the element program."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ancestral.compile.elements.arena import Ints
from ancestral.compile.elements.payload import column_classes
from ancestral.compile.elements.program import ElementStep, Rows

UNREAD = 1 << 40  # the time of what nothing reads
ELEMENTWISE = {"pointwise", "running-sum"}
# Values whose columns may be computed a group at a time, each before the code that needs it.
SPLITTABLE = {*ELEMENTWISE, "linear", "conv", "embedding", "one-hot"}


def demands(step: ElementStep, times: Ints) -> Iterator[tuple[Ints, Ints]]:
    """(addresses, times) of what is read when the step's elements are computed at `times`.

    `times` is [rows, payload] or [rows, 1], UNREAD where an element is not computed. Both
    results are flat; an address may come several times.
    """
    operands = [o for o in step.operands if isinstance(o, Rows)]
    if step.kind in ELEMENTWISE:
        for operand in operands:
            found = operand.addresses()
            yield found.ravel(), np.broadcast_to(times, found.shape).ravel()
    elif step.kind in ("embedding", "one-hot"):
        yield operands[0].addresses().ravel(), times.min(1)
    elif step.kind in ("linear", "conv", "conv-transpose"):
        yield from _of_product(step, operands[0].addresses(), times)
    elif step.kind == "rows-by-matrix":
        first, seen = times.min(1), step.attrs["seen"]
        rows, matrix = (o.addresses() for o in operands)
        yield rows[seen], np.broadcast_to(first[:, None], rows.shape)[seen]
        width = step.attrs["width"]
        for n in range(len(rows)):
            read = matrix[n].reshape(-1, width)[seen[n]].ravel()
            yield read, np.full(read.size, first[n])
    else:
        first = times.min(1)
        for operand in operands:
            found = operand.addresses()
            yield found.ravel(), np.repeat(first, found.shape[1])
        if step.kind == "attend":
            yield from _of_keys(step, first)


def _of_product(step: ElementStep, found: Ints, times: Ints) -> Iterator[tuple[Ints, Ints]]:
    """A product's inputs, those read with a non-zero weight alone."""
    reads = step.attrs["reads"]
    masks = reads[None] if reads.ndim == 2 else reads  # [taps, out, in]
    found = found.reshape(len(found), len(masks), -1)
    if len(times) == 1 and times.shape[1] > 1:
        for tap, mask in enumerate(masks):
            yield found[0, tap], _earliest(mask, times[0])
        return
    for columns, moment in column_classes(times):
        live = masks.any(1) if times.shape[1] == 1 else masks[:, columns].any(1)  # [taps, in]
        for tap, inputs in enumerate(live):
            if inputs.all():
                part = found[:, tap]
            elif inputs.any():
                part = found[:, tap][:, inputs]
            else:
                continue
            yield part.ravel(), np.repeat(moment, part.shape[1])


def _earliest(mask: Ints, times: Ints) -> Ints:
    """For each input, the earliest of the outputs that read it."""
    order = np.argsort(times, kind="stable")
    by_time = mask[order]
    return np.where(by_time.any(0), times[order][by_time.argmax(0)], UNREAD)


def _of_keys(step: ElementStep, first: Ints) -> Iterator[tuple[Ints, Ints]]:
    allowed = step.attrs["allowed"]  # [heads, queries, keys]
    moments = np.where(allowed, first.reshape(allowed.shape[:2])[..., None], UNREAD).min(1)
    for name in ("keys", "values"):
        addresses = step.attrs[name]  # [heads, keys, width]
        yield addresses.ravel(), np.repeat(moments.ravel(), addresses.shape[2])
