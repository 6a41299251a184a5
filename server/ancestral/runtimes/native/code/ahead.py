"""What of a product is known before its turn: taps that look several sites back.

A tap of age d reads what was there d sites ago, so that its products are known for the d sites to
come. They are made in one pass over the weights for as many of these as a tile has rows. Where few
slots run, a product costs what reading its weights costs, and this reads some of them once in
`SITES` sites. The sums are kept as they stand between two inputs of the same order of additions:
the bits of a value do not depend on it.

Sums are made from the first site of a call on and are gone with its last: between two calls slots
come, go and move.
"""

from __future__ import annotations

from numba import njit

from ancestral.runtimes.native import fields as f
from ancestral.runtimes.native.code.blocks import product
from ancestral.runtimes.native.code.lanes import LANES, bytes_of
from ancestral.runtimes.native.code.memory import integer, move, put


@njit
def width(like, head):
    """Bytes from one row of sums to the next."""
    return integer(head, f.PANELS) * LANES * bytes_of(like)


@njit
def older(like, kernel, op, links, segs, stand, phases, lengths):
    """The address of the sums of a product's older inputs, a row a slot; 0: to be made with it."""
    ahead, head, n = op + 8 * f.Z, op + 8 * f.Y, integer(stand, f.N)
    most = integer(ahead, f.SITES)
    if most == 0 or n > integer(ahead, f.MOST):
        return 0
    done, sums = integer(stand, f.DONE), integer(ahead, f.SUMS)
    at = done % most
    if at:
        return sums + at * n * width(like, head)
    sites = min(most, integer(stand, f.WANTED) - done)
    if sites < 2:
        return 0
    held, inputs = integer(ahead, f.HELD), integer(ahead, f.OLD_INPUTS)
    _gather(like, ahead, links + 8 * f.LINK * integer(head, f.FIRST), n, sites, phases, lengths)
    put(segs, 0, held)
    put(segs, 1, inputs * bytes_of(like))
    put(segs, 2, inputs)
    product(
        like, kernel, integer(head, f.FORM), segs, 1, sites * n, integer(head, f.WEIGHTS),
        integer(head, f.INPUTS), 0, integer(head, f.PANELS), integer(head, f.BIAS), 0, 0, sums,
        width(like, head),
    )  # fmt: skip
    return sums


@njit
def _gather(like, ahead, links, n, sites, phases, lengths):
    """The older inputs of the sites to come: row site · n + slot."""
    inputs, place = integer(ahead, f.OLD_INPUTS), 0
    for s in range(integer(ahead, f.OLDER)):
        link = links + 8 * f.LINK * s
        clock, count = integer(link, f.PHASE), integer(link, f.ELEMENTS)
        back = integer(phases, clock) - integer(link, f.LAG)
        for site in range(sites):
            at = back + site
            if at < 0:
                at += integer(lengths, clock)
            row = integer(link, 0) + at * integer(link, f.PLACE)
            for slot in range(n):
                to = (site * n + slot) * inputs + place
                move(like, row, 0, integer(ahead, f.HELD), to, count)
                row += integer(link, f.SLOT)
        place += count
