"""Numbers moved about: copies that end where they should, gathers, embeddings, running sums."""

from __future__ import annotations

from numba import njit

from ancestral.runtimes.native.code.memory import integer, load, move, move_over, store


@njit
def copy(like, x, out, count):
    for i in range(count):
        store(like, out, i, load(like, x, i))


@njit
def gather(like, x, out, count, index):
    for i in range(count):
        store(like, out, i, load(like, x, integer(index, i)))


@njit
def scatter(like, x, out, count, index):
    for i in range(count):
        store(like, out, integer(index, i), load(like, x, i))


@njit
def gather_rows(like, elements, out, stride, first, rows, extra):
    """Row r of out: the elements at base[first + r, k] + off[p], k-major.

    At `extra`: address of base, K, address of off, P, and 1 where off counts upwards by one.
    """
    base, size = integer(extra, 0), integer(extra, 1)
    off, width, run = integer(extra, 2), integer(extra, 3), integer(extra, 4)
    for r in range(rows):
        for k in range(size):
            start = integer(base, (first + r) * size + k)
            place = k * width
            if run:
                move_over(like, elements, start + integer(off, 0), out, place, width)
            else:
                for p in range(width):
                    store(like, out, place + p, load(like, elements, start + integer(off, p)))
        out += stride


@njit
def scatter_rows(like, x, stride, elements, first, rows, extra):
    """Row r of x to the elements at base[first + r] + off[p]; `extra` as of `gather_rows`."""
    base, off, width = integer(extra, 0), integer(extra, 2), integer(extra, 3)
    run = integer(extra, 4)
    for r in range(rows):
        start = integer(base, first + r)
        if run:
            move(like, x, 0, elements, start + integer(off, 0), width)
        else:
            for p in range(width):
                store(like, elements, start + integer(off, p), load(like, x, p))
        x += stride


@njit
def embed(like, codes, out, count, width, weights):
    """Rows [count, width] of a table by codes, which are whole numbers of the element type."""
    for i in range(count):
        row = int(load(like, codes, i)) * width
        for j in range(width):
            store(like, out, i * width + j, load(like, weights, row + j))


@njit
def one_hot(like, codes, out, count, classes):
    zero = like - like
    for i in range(count):
        chosen = int(load(like, codes, i))
        for j in range(classes):
            store(like, out, i * classes + j, zero)
        store(like, out, i * classes + chosen, zero + 1)


@njit
def cumsum(like, x, out, extra):
    """Along the middle of [before, axis, behind], the three at `extra`."""
    before, size, behind = integer(extra, 0), integer(extra, 1), integer(extra, 2)
    for a in range(before):
        for c in range(behind):
            total = like - like
            for k in range(size):
                i = (a * size + k) * behind + c
                total += load(like, x, i)
                store(like, out, i, total)


@njit
def site_linear(like, x, matrix, out, extra):
    """x [blocks, rows, in] times a site's own matrices [blocks, in, out]."""
    blocks, rows, size, width = (
        integer(extra, 0),
        integer(extra, 1),
        integer(extra, 2),
        integer(extra, 3),
    )
    for block in range(blocks):
        for row in range(rows):
            place = (block * rows + row) * width
            for j in range(width):
                store(like, out, place + j, like - like)
            for k in range(size):
                factor = load(like, x, (block * rows + row) * size + k)
                first = (block * size + k) * width
                for j in range(width):
                    total = load(like, out, place + j) + factor * load(like, matrix, first + j)
                    store(like, out, place + j, total)
