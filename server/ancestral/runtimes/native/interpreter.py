"""Runs a table of operations: many sites of all running slots in one call, without Python.

See `fields` for the table. Slots of a batch are rows of every product; each row's arithmetic is the
same whatever the others are.
"""

from __future__ import annotations

from numba import njit

from ancestral.runtimes.native import fields as f
from ancestral.runtimes.native.attention import attend
from ancestral.runtimes.native.blocks import product
from ancestral.runtimes.native.cache import compiled
from ancestral.runtimes.native.draw import (
    CATEGORICAL,
    KIND,
    LEVELS,
    SIZE,
    categorical,
    log_prob,
    log_prob_pixel,
    sample,
    sample_pixel,
)
from ancestral.runtimes.native.lanes import bytes_of
from ancestral.runtimes.native.memory import integer, put, store
from ancestral.runtimes.native.movement import (
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
from ancestral.runtimes.native.noise import uniforms
from ancestral.runtimes.native.norms import norm, reduce
from ancestral.runtimes.native.pointwise import apply


@njit
def address(op, at, slot, stand, ranks, phases, lengths):
    """The address of the operand at field `at`, of one slot."""
    found = (
        integer(op, at)
        + slot * integer(op, at + f.SLOT)
        + integer(stand, f.AT_COLUMN) * integer(op, at + f.COLUMN)
    )
    mode = integer(op, at + f.MODE)
    if mode == f.PLAIN:
        return found
    if mode == f.BY_RANK:
        return found + max(integer(ranks, slot) - integer(op, at + f.LAG), 0) * integer(
            op, at + f.PLACE
        )
    if mode == f.BY_ROW:
        row = integer(ranks, slot) // integer(stand, f.ALL_COLUMNS) - integer(op, at + f.LAG)
        return found + max(row, 0) * integer(op, at + f.PLACE)
    clock = integer(op, at + f.PHASE)
    place = integer(phases, clock) - integer(op, at + f.LAG)
    if mode == f.WRAP:
        ahead = integer(stand, f.AT_COLUMN) + integer(op, at + f.AUX)
        rows = ahead // integer(stand, f.ALL_COLUMNS)
        place += rows
        ahead -= rows * integer(stand, f.ALL_COLUMNS)
        found += (ahead - integer(stand, f.AT_COLUMN)) * integer(op, at + f.COLUMN)
    if place < 0:
        place += integer(lengths, clock)
    elif place >= integer(lengths, clock):
        place -= integer(lengths, clock)
    return found + place * integer(op, at + f.PLACE)


@njit
def columns_of(op, stand):
    """Columns, or rows of a part, that an operation computes; 0 where it computes one site."""
    columns = integer(op, f.COLUMNS)
    return integer(stand, f.ROWS) if columns == f.AS_MANY else columns


@njit
def run_product(like, kernel, op, links, segs, stand, ranks, phases, lengths):
    n, columns, head = integer(stand, f.N), columns_of(op, stand), op + 8 * f.Y
    count, first = integer(head, f.SEGMENTS), integer(head, f.FIRST)
    stride = f.COLUMN if columns else f.SLOT
    more = integer(op, f.X) != 0
    for slot in range(n if columns else 1):
        for s in range(count):
            link = links + 8 * f.LINK * (first + s)
            put(segs, 3 * s, address(link, 0, slot, stand, ranks, phases, lengths))
            put(segs, 3 * s + 1, integer(link, stride))
            put(segs, 3 * s + 2, integer(link, f.ELEMENTS))
        out = address(op, f.OUT, slot, stand, ranks, phases, lengths)
        added = address(op, f.X, slot, stand, ranks, phases, lengths) if more else 0
        product(
            like, kernel, segs, count, columns if columns else n, integer(head, f.WEIGHTS),
            integer(head, f.INPUTS), integer(head, f.PANELS), integer(head, f.BIAS), added,
            integer(op, f.X + stride), out, integer(op, f.OUT + stride),
        )  # fmt: skip


@njit
def run_pointwise(like, kernel, op, stand, ranks, phases, lengths):
    n, columns, count = integer(stand, f.N), columns_of(op, stand), integer(op, f.COUNT)
    if integer(op, f.DENSE):  # everything lies densely: one run
        x = address(op, f.X, 0, stand, ranks, phases, lengths)
        y = address(op, f.Y, 0, stand, ranks, phases, lengths)
        z = address(op, f.Z, 0, stand, ranks, phases, lengths)
        out = address(op, f.OUT, 0, stand, ranks, phases, lengths)
        apply(like, kernel, integer(op, f.CODE), x, y, z, out, integer(op, f.DENSE) * n)
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
def run_local(like, op, scratch, stand, ranks, phases, lengths):
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
                norm(like, x, out, integer(op, f.COUNT), integer(op, f.CODE), integer(op, f.EXTRA))
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
    first, rows, arena = integer(stand, f.ROW), integer(stand, f.ROWS), integer(stand, f.ARENA)
    extra = integer(op, f.EXTRA)
    for slot in range(integer(stand, f.N)):
        elements = arena + slot * integer(stand, f.ARENA_SLOT)
        if integer(op, f.KIND) == f.GATHER_ROWS:
            out = address(op, f.OUT, slot, stand, ranks, phases, lengths)
            gather_rows(like, elements, out, integer(op, f.OUT + f.COLUMN), first, rows, extra)
        else:
            x = address(op, f.X, slot, stand, ranks, phases, lengths)
            scatter_rows(like, x, integer(op, f.X + f.COLUMN), elements, first, rows, extra)


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
def attention(like, kernel, op, scratch, stand, ranks, phases, lengths):
    for slot in range(integer(stand, f.N)):
        q = address(op, f.X, slot, stand, ranks, phases, lengths)
        k = address(op, f.Y, slot, stand, ranks, phases, lengths)
        v = address(op, f.Z, slot, stand, ranks, phases, lengths)
        out = address(op, f.OUT, slot, stand, ranks, phases, lengths)
        attend(
            like, kernel, integer(op, f.EXTRA), slot, integer(ranks, slot), q, k, v, out, scratch
        )


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
        elif kind == f.ATTEND:
            attention(like, kernel, op, scratch, stand, ranks, phases, lengths)
        else:
            run_local(like, op, scratch, stand, ranks, phases, lengths)


@njit
def advance(stand, ranks, phases, lengths, clocks, by_row):
    """One site further."""
    for slot in range(integer(stand, f.N)):
        put(ranks, slot, integer(ranks, slot) + 1)
    end_of_row = False
    if integer(stand, f.GRID):
        column = integer(stand, f.AT_COLUMN) + 1
        end_of_row = column == integer(stand, f.ALL_COLUMNS)
        put(stand, f.AT_COLUMN, 0 if end_of_row else column)
    for clock in range(clocks):
        if end_of_row or not integer(by_row, clock):
            phase = integer(phases, clock) + 1
            put(phases, clock, 0 if phase == integer(lengths, clock) else phase)


@njit
def draw(
    like, kernel, sub, site, subs, ends, stand, ranks, phases, lengths, config, slots_data, chunk
):
    """Draw a sub-step's values of every slot, or take those that are fixed, and write the codes."""
    vectors, channels, joint = config[4], config[5], config[6]
    seeds, items, temperatures, top_ks, top_ps, masses, pixel, words = slots_data
    values, fixed, nats = chunk
    one_by_one = subs > 1 and vectors > 1
    first, last = (sub, sub + 1) if one_by_one else (0, channels)
    size = config[SIZE] * bytes_of(like)
    for slot in range(integer(stand, f.N)):
        params = address(ends, f.OUT, slot, stand, ranks, phases, lengths)
        temperature, top_k, top_p = temperatures[slot], top_ks[slot], top_ps[slot]
        own = values[slot, site]
        for d in range(first, last):
            u, v = uniforms(seeds[slot], items[slot], integer(ranks, slot), d)
            words[d, 0], words[d, 1] = u, v
        if joint:
            if not fixed[slot, site, 0]:
                sample_pixel(
                    like, kernel, config, params, channels, words, temperature, pixel, masses
                )
                for d in range(channels):
                    own[d] = pixel[d]
            log_prob_pixel(like, kernel, config, params, channels, own, nats[slot, site], masses)
        else:
            for d in range(first, last):
                vector = params + (d if vectors > 1 else 0) * size
                known = fixed[slot, site, d]
                if config[KIND] == CATEGORICAL:
                    own[d], nats[slot, site, d] = categorical(
                        like, kernel, vector, config[LEVELS], words[d, 0], temperature, top_k,
                        top_p, own[d], known, masses,
                    )  # fmt: skip
                    continue
                if not known:
                    own[d] = sample(
                        like, kernel, config, vector, words[d, 0], words[d, 1], temperature, masses
                    )
                nats[slot, site, d] = log_prob(like, kernel, config, vector, own[d], masses)
        codes = address(ends + 8 * f.FIELDS, f.OUT, slot, stand, ranks, phases, lengths)
        for d in range(first, last):
            store(like, codes, d, like - like + own[d])


@compiled
def run(
    like, kernel, count, subs, tables, clocks, config, slots_data, chunk,
):  # fmt: skip
    """`count` sites of all running slots: `chunk` is filled with values and their nats.

    Operations starts[0] … starts[1] are a row's, starts[1 + s] … starts[2 + s] those of sub-step
    s.
    """
    ops, starts, ends, links, segs, scratch, stand, ranks, phases, lengths, by_row = tables
    for site in range(count):
        if integer(stand, f.GRID) and integer(stand, f.AT_COLUMN) == 0:
            run_operations(
                like,
                kernel,
                ops,
                integer(starts, 0),
                integer(starts, 1),
                links,
                segs,
                scratch,
                stand,
                ranks,
                phases,
                lengths,
            )
        for sub in range(subs + 1):
            run_operations(
                like, kernel, ops, integer(starts, 1 + sub), integer(starts, 2 + sub), links,
                segs, scratch, stand, ranks, phases, lengths,
            )  # fmt: skip
            if sub < subs:
                draw(
                    like, kernel, sub, site, subs, ends, stand, ranks, phases, lengths, config,
                    slots_data, chunk,
                )  # fmt: skip
        advance(stand, ranks, phases, lengths, clocks, by_row)


@compiled
def run_part(like, kernel, first, last, tables):
    """Operations first … last-1 for all running slots, at their present site."""
    ops, _, _, links, segs, scratch, stand, ranks, phases, lengths, _ = tables
    run_operations(
        like, kernel, ops, first, last, links, segs, scratch, stand, ranks, phases, lengths
    )


@compiled
def run_end(tables, clocks):
    """One site further."""
    _, _, _, _, _, _, stand, ranks, phases, lengths, by_row = tables
    advance(stand, ranks, phases, lengths, clocks, by_row)


@compiled
def located(tables, end, slot):
    """The address of a slot's params (`end` 0) or codes (1)."""
    _, _, ends, _, _, _, stand, ranks, phases, lengths, _ = tables
    return address(ends + 8 * f.FIELDS * end, f.OUT, slot, stand, ranks, phases, lengths)


@njit
def run_due(like, kernel, time, due, tables):
    """What is due at a time: rows ROW … of the parts' operations, for the slots at hand."""
    ops, _, _, links, segs, scratch, stand, ranks, phases, lengths, _ = tables
    starts, entries = due
    for i in range(integer(starts, time), integer(starts, time + 1)):
        entry = entries + 8 * 4 * i
        put(stand, f.ROW, integer(entry, 2))
        put(stand, f.ROWS, integer(entry, 3))
        run_operations(
            like, kernel, ops, integer(entry, 0), integer(entry, 1), links, segs, scratch, stand,
            ranks, phases, lengths,
        )  # fmt: skip


@compiled
def run_time(like, kernel, time, due, tables):
    """The same, for those who draw elsewhere."""
    run_due(like, kernel, time, due, tables)


@compiled
def run_elements(like, kernel, count, subs, tables, due, where, sizes, config, slots_data, chunk):
    """`count` sites of an element program; see `elements`."""
    _, _, ends, _, _, _, stand, ranks, phases, lengths, _ = tables
    arena, params, codes = where
    width, dims = sizes
    n, stride = integer(stand, f.N), integer(stand, f.ARENA_SLOT)
    for site in range(count):
        for sub in range(subs):
            together = True
            for slot in range(1, n):
                together = together and integer(ranks, slot) == integer(ranks, 0)
            for first in range(1 if together else n):
                put(stand, f.N, n if together else 1)
                put(stand, f.ARENA, arena + first * stride)
                run_due(like, kernel, integer(ranks, first) * subs + sub, due, tables)
            put(stand, f.N, n)
            for slot in range(n):
                found = address(ends, f.OUT, slot, stand, ranks, phases, lengths)
                at = params + 8 * width * integer(ranks, slot)
                gather(like, arena + slot * stride, found, width, at)
            draw(
                like, kernel, sub, site, subs, ends, stand, ranks, phases, lengths, config,
                slots_data, chunk,
            )  # fmt: skip
            for slot in range(n):
                drawn = address(ends + 8 * f.FIELDS, f.OUT, slot, stand, ranks, phases, lengths)
                at = codes + 8 * dims * (integer(ranks, slot) * subs + sub)
                scatter(like, drawn, arena + slot * stride, dims, at)
        for slot in range(n):
            put(ranks, slot, integer(ranks, slot) + 1)
