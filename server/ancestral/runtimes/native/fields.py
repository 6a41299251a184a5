"""The table of operations: one row of 64-bit integers each, a head and up to four operands.

An operand is an address that follows from where the batch stands. For a slot and the shared column
it is `BASE` + slot · `SLOT` + column · `COLUMN` + what its `MODE` adds:

    PLAIN    nothing
    RING     the place `LAG` steps or rows back in a ring, · `PLACE`; `PHASE` numbers its clock
    BY_RANK  max(rank − LAG, 0) · PLACE, a table over the slot's own sites
    BY_ROW   max(row − LAG, 0) · PLACE, a table over its own rows
    WRAP     as RING, at the column `AUX` sites on in raster order

An operation over keys has a run of numbers for each head, `AUX` bytes apart.

In a row operation the column is 0, and `COLUMN` leads from one column of the row to the next.
"""

from __future__ import annotations

# the head of an operation
KIND, CODE, COUNT, LOW, HIGH, COLUMNS, EXTRA, DENSE, OPERANDS = range(9)
# an operand
BASE, SLOT, COLUMN, MODE, PLACE, LAG, PHASE, AUX = range(8)
OPERAND = 8
FIELDS = OPERANDS + 4 * OPERAND
OUT, X, Y, Z = (OPERANDS + i * OPERAND for i in range(4))

PLAIN, RING, BY_RANK, BY_ROW, WRAP = range(5)

(POINTWISE, PRODUCT, COPY, GATHER, SCATTER, EMBED, ONE_HOT, NORM, REFILL, SITE_LINEAR, REDUCE,
 CUMSUM, GATHER_ROWS, SCATTER_ROWS, ATTEND, SCORES, MIX, KEYED, GATHER_KEYS, SOFTMAX_KEYS,
 ATTEND_ROWS) = range(21)  # fmt: skip
NAMES = (
    "elementwise", "product", "copy", "gather", "scatter", "embedding", "one-hot", "norm", "refill",
    "product of values", "reduction", "running sum", "gather rows", "scatter rows", "attention",
    "scores", "mix of values", "over keys", "gather keys", "softmax over keys",
    "attention over rows",
)  # fmt: skip

# a product's head in place of its operand Y: where its segments lie in the table of links
FIRST, SEGMENTS, WEIGHTS, INPUTS, PANELS, BIAS, FORM, KERNEL = range(8)
# and in place of its operand Z what is known of it sites ahead (`code.ahead`): how many sites at
# most (0: none), its first segments that are, their inputs, where those are gathered, where the
# sums are kept, what stands beside its panels in place of the bias, and for how many slots
SITES, OLDER, OLD_INPUTS, HELD, SUMS, NO_BIAS, MOST = range(7)
ELEMENTS = OPERAND  # a link is an operand and its number of elements
LINK = OPERAND + 1

# where the batch stands
N, AT_COLUMN, ALL_COLUMNS, GRID = range(4)
# over the elements of an item: the part's rows at hand, in all and of each slot, the slots, and
# where their elements lie; to all operations but gathers and scatters they are rows of one slot
ROW, ROWS, ARENA, ARENA_SLOT, EACH, SLOTS = range(4, 10)
# where the ticks of operations are counted, and by what the operations are run; see `counting`
TICKS, RUN, LEFT = range(10, 13)
# sites that the call at hand has behind it, and those of all of it
DONE, WANTED = 13, 14
STATE = 15
AS_MANY = -1  # in place of COLUMNS: as many as there are rows in all
