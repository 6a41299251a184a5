"""How many bytes a packed weight takes: those of the element type, or fewer where none is lost.

BF16    the upper half of a float32, panels in pairs: the one in the lower half of a 32-bit word,
        the other in the upper half
INT8    whole numbers from -127 to 127, and a power of two for each output

Both are float32 numbers exactly, and a power of two multiplies without rounding: a product is the
same bit for bit in every form.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from ancestral.runtimes.native.code import lanes
from ancestral.runtimes.native.code.blocks import BF16, FULL, GROUP, INT8, RECORD
from ancestral.runtimes.native.code.lanes import LANES

FORMS = (FULL, BF16, INT8)


def bytes_of_weight(form: int, of: ir.Type) -> int:
    return {FULL: lanes.size_of(of), BF16: 2, INT8: 1}[form]


def step_bytes(form: int, panels: int, of: ir.Type) -> int:
    """From an input's weights to the next one's, of panels side by side in a group."""
    beside = min(GROUP, panels) if form == FULL else GROUP
    return beside * LANES * bytes_of_weight(form, of)


def widened(
    b: ir.IRBuilder, form: int, of: ir.Type, row: ir.Value, group_bytes: ir.Value, panels: int
) -> Sequence[ir.Value]:
    """The weights of one input for so many panels, as vectors of the element type."""
    vec, found = lanes.vector(of), []
    word = lanes.vector(ir.IntType(32))
    for p in range(panels):
        group, beside = divmod(p, GROUP)
        here = b.add(row, b.mul(group_bytes, lanes.number(b, group)))
        if form == BF16:
            if beside == 0:
                pair = lanes.load(b, here, word)
                bits = b.shl(pair, ir.Constant(word, [16] * LANES))
            else:
                bits = b.and_(pair, ir.Constant(word, [0xFFFF0000] * LANES))
            found.append(b.bitcast(bits, vec))
            continue
        here = b.add(here, lanes.number(b, beside * LANES * bytes_of_weight(form, of)))
        if form == INT8:
            codes = lanes.load(b, here, lanes.vector(ir.IntType(8)))
            found.append(b.sitofp(b.sext(codes, word), vec))
        else:
            found.append(lanes.load(b, here, vec))
    return found


__all__ = ["BF16", "FORMS", "FULL", "INT8", "RECORD", "step_bytes", "widened"]
