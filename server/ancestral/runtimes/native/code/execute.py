"""The operations of a table for all running slots.

Slots of a batch are rows of every product; each row's arithmetic is the same whatever the others
are.
"""

from __future__ import annotations

from numba import njit

from ancestral.runtimes.native import fields as f
from ancestral.runtimes.native.code.addresses import address, columns_of
from ancestral.runtimes.native.code.ahead import older, width
from ancestral.runtimes.native.code.blocks import product
from ancestral.runtimes.native.code.element_attention import run_attention
from ancestral.runtimes.native.code.keyed import run_keyed
from ancestral.runtimes.native.code.memory import integer, put
from ancestral.runtimes.native.code.movement import (
    copy,
    cumsum,
    embed,
    gather,
    gather_rows,
    one_hot,
    scatter,
    scatter_rows,
    site_linear,
)
from ancestral.runtimes.native.code.norms import norm, reduce
from ancestral.runtimes.native.code.pointwise import apply


@njit
def run_product(like, kernel, op, links, segs, stand, ranks, phases, lengths):
    n, columns, head = integer(stand, f.N), columns_of(op, stand), op + 8 * f.Y
    own, form = integer(head, f.KERNEL), integer(head, f.FORM)  # that of the form of its weights
    kernel = own if own else kernel
    known = older(like, kernel, op, links, segs, stand, phases, lengths)
    passed = integer(op + 8 * f.Z, f.OLDER) if known else 0  # segments that are in the sums
    inputs = integer(op + 8 * f.Z, f.OLD_INPUTS) if known else 0
    bias = integer(op + 8 * f.Z, f.NO_BIAS) if known else integer(head, f.BIAS)
    count, first = integer(head, f.SEGMENTS) - passed, integer(head, f.FIRST) + passed
    stride = f.COLUMN if columns else f.SLOT
    more = integer(op, f.X) != 0
    for slot in range(n if columns else 1):
        for s in range(count):
            link = links + 8 * f.LINK * (first + s)
            put(segs, 3 * s, address(link, 0, slot, stand, ranks, phases, lengths))
            put(segs, 3 * s + 1, integer(link, stride))
            put(segs, 3 * s + 2, integer(link, f.ELEMENTS))
        out = address(op, f.OUT, slot, stand, ranks, phases, lengths)
        added = address(op, f.X, slot, stand, ranks, phases, lengths) if more else known
        a_stride = width(like, head) if known else integer(op, f.X + stride)
        product(
            like, kernel, form, segs, count, columns if columns else n, integer(head, f.WEIGHTS),
            integer(head, f.INPUTS), inputs, integer(head, f.PANELS), bias, added, a_stride, out,
            integer(op, f.OUT + stride),
        )  # fmt: skip


@njit
def run_pointwise(like, kernel, op, stand, ranks, phases, lengths):
    n, columns, count = integer(stand, f.N), columns_of(op, stand), integer(op, f.COUNT)
    if integer(op, f.DENSE):  # everything lies densely: one run
        x = address(op, f.X, 0, stand, ranks, phases, lengths)
        y = address(op, f.Y, 0, stand, ranks, phases, lengths)
        z = address(op, f.Z, 0, stand, ranks, phases, lengths)
        out = address(op, f.OUT, 0, stand, ranks, phases, lengths)
        rows = n * columns if integer(op, f.COLUMNS) == f.AS_MANY else n
        apply(like, kernel, integer(op, f.CODE), x, y, z, out, integer(op, f.DENSE) * rows)
        return
    for slot in range(n):
        x = address(op, f.X, slot, stand, ranks, phases, lengths)
        y = address(op, f.Y, slot, stand, ranks, phases, lengths)
        z = address(op, f.Z, slot, stand, ranks, phases, lengths)
        out = address(op, f.OUT, slot, stand, ranks, phases, lengths)
        for _ in range(max(columns, 1)):
            apply(like, kernel, integer(op, f.CODE), x, y, z, out, count)
            x += integer(op, f.X + f.COLUMN)
            y += integer(op, f.Y + f.COLUMN)
            z += integer(op, f.Z + f.COLUMN)
            out += integer(op, f.OUT + f.COLUMN)


@njit
def run_local(like, kernel, op, scratch, stand, ranks, phases, lengths):
    """Operations of one slot and column at a time."""
    kind, columns = integer(op, f.KIND), columns_of(op, stand)
    for slot in range(integer(stand, f.N)):
        x = address(op, f.X, slot, stand, ranks, phases, lengths)
        y = address(op, f.Y, slot, stand, ranks, phases, lengths)
        out = address(op, f.OUT, slot, stand, ranks, phases, lengths)
        for _ in range(max(columns, 1)):
            if kind == f.COPY:
                copy(like, x, out, integer(op, f.COUNT))
            elif kind == f.GATHER:
                gather(like, x, out, integer(op, f.COUNT), integer(op, f.EXTRA))
            elif kind == f.SCATTER:
                scatter(like, x, out, integer(op, f.COUNT), integer(op, f.EXTRA))
            elif kind == f.EMBED:
                embed(like, x, out, integer(op, f.COUNT), integer(op, f.CODE), integer(op, f.EXTRA))
            elif kind == f.ONE_HOT:
                one_hot(like, x, out, integer(op, f.COUNT), integer(op, f.CODE))
            elif kind == f.NORM:
                norm(
                    like,
                    kernel,
                    x,
                    out,
                    integer(op, f.COUNT),
                    integer(op, f.CODE),
                    integer(op, f.EXTRA),
                )
            elif kind == f.SITE_LINEAR:
                site_linear(like, x, y, out, integer(op, f.EXTRA))
            elif kind == f.REDUCE:
                reduce(like, integer(op, f.CODE), x, out, integer(op, f.EXTRA))
            elif kind == f.CUMSUM:
                cumsum(like, x, out, integer(op, f.EXTRA))
            x += integer(op, f.X + f.COLUMN)
            y += integer(op, f.Y + f.COLUMN)
            out += integer(op, f.OUT + f.COLUMN)


@njit
def run_rows(like, op, stand, ranks, phases, lengths):
    """Rows of a part to or from the slots' elements; see `movement`."""
    first, rows, extra = integer(stand, f.ROW), integer(stand, f.EACH), integer(op, f.EXTRA)
    elements, stride = integer(stand, f.ARENA), integer(stand, f.ARENA_SLOT)
    gathered = integer(op, f.KIND) == f.GATHER_ROWS
    at = f.OUT if gathered else f.X
    row, step = address(op, at, 0, stand, ranks, phases, lengths), integer(op, at + f.COLUMN)
    for _ in range(integer(stand, f.SLOTS)):
        if gathered:
            gather_rows(like, elements, row, step, first, rows, extra)
        else:
            scatter_rows(like, row, step, elements, first, rows, extra)
        row += rows * step
        elements += stride


@njit
def run_refill(like, op, stand, ranks, phases, lengths):
    """Put the fill where a slot has not yet reached the value's first element."""
    columns = integer(op, f.COLUMNS)
    for slot in range(integer(stand, f.N)):
        reached = (
            integer(ranks, slot) // integer(stand, f.ALL_COLUMNS)
            if integer(stand, f.GRID)
            else integer(ranks, slot)
        )
        if integer(op, f.CODE) == 0:
            reached = integer(ranks, slot)
        if reached < integer(op, f.EXTRA):
            x = address(op, f.X, slot, stand, ranks, phases, lengths)
            out = address(op, f.OUT, slot, stand, ranks, phases, lengths)
            for _ in range(max(columns, 1)):
                copy(like, x, out, integer(op, f.COUNT))
                out += integer(op, f.OUT + f.COLUMN)


@njit
def run_operations(
    like, kernel, ops, first, last, links, segs, scratch, stand, ranks, phases, lengths
):
    """Operations first … last-1 for all running slots at their present site."""
    column = integer(stand, f.AT_COLUMN)
    for i in range(first, last):
        op = ops + 8 * f.FIELDS * i
        if column < integer(op, f.LOW) or column >= integer(op, f.HIGH):
            continue
        kind = integer(op, f.KIND)
        if kind == f.PRODUCT:
            run_product(like, kernel, op, links, segs, stand, ranks, phases, lengths)
        elif kind == f.POINTWISE:
            run_pointwise(like, kernel, op, stand, ranks, phases, lengths)
        elif kind == f.REFILL:
            run_refill(like, op, stand, ranks, phases, lengths)
        elif kind == f.GATHER_ROWS or kind == f.SCATTER_ROWS:
            run_rows(like, op, stand, ranks, phases, lengths)
        elif kind == f.ATTEND_ROWS:
            run_attention(like, kernel, op, scratch, stand, ranks, phases, lengths)
        elif kind >= f.ATTEND:
            run_keyed(like, kernel, op, scratch, stand, ranks, phases, lengths)
        else:
            run_local(like, kernel, op, scratch, stand, ranks, phases, lengths)
