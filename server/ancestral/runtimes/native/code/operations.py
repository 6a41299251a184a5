"""The operations of a table as one function per element type, called by its address.

Numba compiles a function anew for every entry point that leads to it; behind an address it is
compiled once. `call_kernel(operations, kernel, ops, first, last, …)` is `execute.run_operations`.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numba import types

from ancestral.runtimes.native.code.cache import compiled_for_c
from ancestral.runtimes.native.code.execute import run_operations


def _single(kernel, ops, first, last, links, segs, scratch, stand, ranks, phases, lengths):
    run_operations(
        np.float32(0), kernel, ops, first, last, links, segs, scratch, stand, ranks, phases, lengths
    )


def _double(kernel, ops, first, last, links, segs, scratch, stand, ranks, phases, lengths):
    run_operations(
        np.float64(0), kernel, ops, first, last, links, segs, scratch, stand, ranks, phases, lengths
    )


@cache
def operations(dtype: np.dtype[Any]) -> Any:
    """The compiled operations of an element type."""
    return compiled_for_c(
        _single if dtype == np.float32 else _double, types.void(*[types.int64] * 11)
    )
