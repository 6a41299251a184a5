"""Normalisations, reductions and running sums over a site's payload."""

from __future__ import annotations

from typing import Any

import numpy as np

from ancestral.runtimes.native import fields as f
from ancestral.runtimes.native.code.norms import REDUCTIONS
from ancestral.runtimes.native.lower.errors import Unsupported
from ancestral.runtimes.native.lower.lowering import Lowering
from ancestral.runtimes.native.lower.plan import Part, entire


def norm(low: Lowering, part: Part) -> None:
    step = entire(part)
    inner = step.attrs["inner"]
    names = [*step.attrs["weights"], None][:2]
    found = [
        0 if n is None else low.weights.once(("flat", n), lambda n=n: low.weights.array(n).ravel())
        for n in names
    ]
    eps = step.attrs["eps"]
    eps = float(np.finfo(low.dtype).eps) if eps is None else float(eps)
    held = low.number(eps, 1)
    addresses = [a if isinstance(a, int) else a.ctypes.data for a in found]
    extra = [*addresses, held.base, int(step.kind == "rms-norm"), low.size]
    x = low.operand(step.operands[0], step, None, step.payload)
    low.emit(f.NORM, low.place(step), x, code=inner, count=step.payload // inner,
             extra=low.indices(np.array(extra)))  # fmt: skip


def reduction(low: Lowering, part: Part) -> None:
    step = entire(part)
    extra = low.indices(np.array(_around(step.attrs["shape"], step.attrs["axes"])))
    x = low.operand(step.operands[0], step, None, int(np.prod(step.attrs["shape"])))
    low.emit(f.REDUCE, low.place(step), x, code=REDUCTIONS[step.kind], extra=extra)


def cumsum(low: Lowering, part: Part) -> None:
    step = entire(part)
    axis = step.attrs["axis"] % len(step.attrs["shape"])
    extra = low.indices(np.array(_around(step.attrs["shape"], (axis,))))
    x = low.operand(step.operands[0], step, None, step.payload)
    low.emit(f.CUMSUM, low.place(step), x, extra=extra)


def _around(shape: Any, axes: Any) -> list[int]:
    """A shape as [before, axes, behind]. Raises Unsupported where the axes do not adjoin."""
    sizes = [s for s in range(len(shape)) if shape[s] != 1]
    wanted = [s for s in sizes if s in {a % len(shape) for a in axes}]
    if not wanted:
        return [int(np.prod(shape)), 1, 1]
    between = [s for s in sizes if wanted[0] <= s <= wanted[-1]]
    if between != wanted:
        raise Unsupported("a reduction over axes that do not adjoin")
    return [
        int(np.prod(shape[: wanted[0]])),
        int(np.prod(shape[wanted[0] : wanted[-1] + 1])),
        int(np.prod(shape[wanted[-1] + 1 :])),
    ]
