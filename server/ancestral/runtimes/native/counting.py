"""Where the time of a running batch goes, operation by operation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ancestral.runtimes.native import fields as f
from ancestral.runtimes.native.batch import NativeBatch
from ancestral.runtimes.native.code.blocks import FORM_NAMES, NARROW
from ancestral.runtimes.native.code.counted import counted
from ancestral.runtimes.native.code.lanes import LANES
from ancestral.runtimes.native.code.pointwise import CODES
from ancestral.runtimes.native.elements import NativeElements

_FUNCTIONS = {code: name for name, code in CODES.items()}


class Counts:
    """Lets a batch write down ticks from now on: of the draws, then of each operation."""

    def __init__(self, batch: NativeBatch | NativeElements) -> None:
        self.ticks = np.zeros(1 + len(batch.operations), dtype=np.int64)
        self._stand = batch.stand
        batch.stand[f.TICKS], batch.stand[f.RUN] = self.ticks[1:].ctypes.data, batch.interpret
        batch.interpret = counted().address

    def reset(self) -> None:
        self.ticks[:] = 0
        self._stand[f.LEFT] = 0


def labels(batch: NativeBatch | NativeElements) -> list[str]:
    """What each of `Counts.ticks` is, in words."""
    return ["draw", *(_label(row) for row in batch.operations)]


def _label(row: npt.NDArray[np.int64]) -> str:
    kind = int(row[f.KIND])
    if kind == f.POINTWISE:
        return _FUNCTIONS[int(row[f.CODE])].replace("_", " ")
    if kind != f.PRODUCT:
        return f.NAMES[kind]
    head = row[f.Y :]
    form = FORM_NAMES[int(head[f.FORM])]
    wide = head[f.PANELS] * (1 if head[f.FORM] == NARROW else LANES)
    added = " + sum" if row[f.X] else ""
    return f"product{form} {head[f.INPUTS]} → {wide}{added}"
