"""Operations over the keys of each running slot; see `attention`."""

from __future__ import annotations

from numba import njit

from ancestral.runtimes.native import fields as f
from ancestral.runtimes.native.code.addresses import address
from ancestral.runtimes.native.code.attention import HEADS as HEADS_AT
from ancestral.runtimes.native.code.attention import (
    KEYS,
    attend,
    keep,
    listed,
    mix,
    score,
    visible,
)
from ancestral.runtimes.native.code.blocks import SOFTMAX
from ancestral.runtimes.native.code.lanes import call_kernel
from ancestral.runtimes.native.code.memory import integer, load, store
from ancestral.runtimes.native.code.movement import gather
from ancestral.runtimes.native.code.pointwise import apply


@njit
def softmax(like, kernel, x, out, count, scratch):
    """Softmax over `count` keys."""
    call_kernel(kernel, SOFTMAX, x, count, out, scratch, 0, 0, 0, 0, 0, 0)
    total = load(like, scratch, 0)
    for j in range(count):
        store(like, out, j, load(like, out, j) / total)


@njit
def run_keyed(like, kernel, op, scratch, stand, ranks, phases, lengths):
    """An operation of table kinds ATTEND … SOFTMAX_KEYS, slot by slot and head by head."""
    kind, extra, code = integer(op, f.KIND), integer(op, f.EXTRA), integer(op, f.CODE)
    heads = integer(extra, HEADS_AT)
    for slot in range(integer(stand, f.N)):
        rank = integer(ranks, slot)
        x = address(op, f.X, slot, stand, ranks, phases, lengths)
        y = address(op, f.Y, slot, stand, ranks, phases, lengths)
        z = address(op, f.Z, slot, stand, ranks, phases, lengths)
        out = address(op, f.OUT, slot, stand, ranks, phases, lengths)
        if kind == f.ATTEND:
            attend(like, kernel, extra, slot, rank, x, y, z, out, scratch)
            continue
        kept = 0
        if kind == f.SCORES or kind == f.MIX:
            kept = keep(like, extra, 0, slot, rank, y)
        count = visible(extra, rank)
        for head in range(heads):
            if kind == f.SCORES:
                score(like, kernel, extra, head, rank, x, kept, out, scratch)
            elif kind == f.MIX:
                mix(like, kernel, extra, head, rank, x, kept, out, scratch)
            elif kind == f.SOFTMAX_KEYS:
                softmax(like, kernel, x, out, count, scratch)
            elif kind == f.GATHER_KEYS:
                gather(like, x, out, count, listed(extra, KEYS, rank))
            else:
                apply(like, kernel, code, x, y, z, out, count)
            x += integer(op, f.X + f.AUX)
            y += integer(op, f.Y + f.AUX)
            z += integer(op, f.Z + f.AUX)
            out += integer(op, f.OUT + f.AUX)
