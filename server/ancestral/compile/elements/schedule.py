"""The backward pass over elements: when each is computed; and the proof that all of it can be.

Walking from the params to the codes, every element gets a deadline. A row whose inputs are all
known when its deadline's block of ranks (a row of the image) begins is computed there, with the
rest of that block; everything else at its deadline, so that what nothing reads is not computed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable

import numpy as np
import torch

from ancestral.compile.elements.arena import Arena, Ints
from ancestral.compile.elements.demand import SPLITTABLE, UNREAD, demands
from ancestral.compile.elements.payload import column_classes
from ancestral.compile.elements.program import ElementStep, Part
from ancestral.compile.errors import CausalityError, CompileError


def prove_causal(
    arena: Arena,
    steps: list[ElementStep],
    params: Ints,
    limit: Ints,
    output: Callable[[int], str],
    known_at: Callable[[int], str],
) -> None:
    """Raise CausalityError unless each params element is ready before its own `limit`.

    `output` names an element of the params, `known_at` the code that becomes known at a time.
    """
    late = np.flatnonzero(arena.ready[params] >= limit)
    if not late.size:
        return
    worst = int(late[np.argmax((arena.ready[params] - limit)[late])])
    reach = int(arena.ready[params[worst]])
    summary = f"not causal: {output(worst)} reads the input at {known_at(reach)}"
    raise CausalityError(summary, _path(arena, steps, int(params[worst])))


def _path(arena: Arena, steps: list[ElementStep], address: int) -> list[str]:
    """The operators from the input to an element, along the latest of what each one reads."""
    step: ElementStep | None
    by_start: dict[int, list[ElementStep]] = {}
    for step in steps:
        by_start.setdefault(step.start, []).append(step)
    starts = sorted(by_start)
    path: list[str] = []
    while True:
        at = bisect_right(starts, address) - 1
        step = _owner(by_start[starts[at]], address) if at >= 0 else None
        if step is None:
            return ["input codes  the data", *path[::-1]]
        path.append(f"{step.op} {step.node}  {step.source}".rstrip())
        times = np.where(step.write() == address, 0, UNREAD)
        best, latest = -1, -1
        for addresses, moments in demands(step, times):
            read = addresses[moments != UNREAD]
            if read.size and int(arena.ready[read].max()) > latest:
                latest = int(arena.ready[read].max())
                best = int(read[arena.ready[read].argmax()])
        if best < 0:
            return path[::-1]
        address = best


def _owner(steps: list[ElementStep], address: int) -> ElementStep | None:
    row, column = divmod(address - steps[0].start, steps[0].payload)
    return next((s for s in steps if column < s.payload and row in s.rows), None)


def schedule(
    arena: Arena, steps: list[ElementStep], params: Ints, limit: Ints, block: int
) -> list[ElementStep]:
    """The steps that the params need, with the times of their rows."""
    deadline = torch.full((arena.size,), UNREAD)
    _meet(deadline, params, limit)
    kept: list[ElementStep] = []
    for step in reversed(steps):
        wanted = deadline.numpy()[step.write()]
        needed = wanted != UNREAD
        if not needed.any():
            continue
        times = _times(step, wanted, needed, block)
        step.parts = tuple(_parts(step, times))
        step.macs = _macs(step)
        demanded = (
            times if times.shape[1] == 1 and needed.all() else np.where(needed, times, UNREAD)
        )
        for addresses, moments in demands(step, demanded):
            _meet(deadline, addresses, moments)
        kept.append(step)
    return kept[::-1]


def _macs(step: ElementStep) -> int:
    """Multiply-adds of an item."""
    reads = step.attrs.get("reads")
    if reads is None:
        return step.macs * sum(len(p.rows) for p in step.parts)
    per_column = int(np.prod(reads.shape)) // reads.shape[-2] // step.attrs.get("groups", 1)
    return sum(
        len(p.rows) * per_column * (step.payload if p.columns is None else p.columns.size)
        for p in step.parts
    )


def _meet(deadline: torch.Tensor, addresses: Ints, moments: Ints) -> None:
    deadline.scatter_reduce_(
        0, torch.from_numpy(np.array(addresses)), torch.from_numpy(np.array(moments)), "amin",
    )  # fmt: skip


def _times(step: ElementStep, wanted: Ints, needed: Ints, block: int) -> Ints:
    """When elements are computed: [rows, 1] where each row can be at once, else [rows, payload]."""
    ready = np.broadcast_to(step.ready, wanted.shape)
    first = wanted.min(1)
    last_input = np.where(needed, ready, -1).max(1)
    start = first // block * block
    times = np.where(last_input < start, start, first)
    times[first == UNREAD] = UNREAD
    if (last_input < times).all():
        whole: Ints = times[:, None]
        return whole
    if step.kind not in SPLITTABLE:
        raise CompileError(f"{step.op} at {step.source}: no moment lies between its inputs and use")
    start = wanted // block * block
    times = np.where(ready < start, start, wanted)
    times[~needed] = UNREAD
    if not (ready < times).all():
        raise CompileError(f"{step.op} at {step.source}: no moment lies between its inputs and use")
    return times


def _parts(step: ElementStep, times: Ints) -> list[Part]:
    found = []
    if len(times) == 1 and times.shape[1] > 1:
        classes = [(np.flatnonzero(times[0] == moment), np.array([moment]))
                   for moment in np.unique(times[0])]  # fmt: skip
    else:
        classes = column_classes(times)
    for columns, moments in classes:
        rows = np.flatnonzero(moments != UNREAD)
        if not rows.size:
            continue
        rows = rows[np.argsort(moments[rows], kind="stable")]
        unique, first = np.unique(moments[rows], return_index=True)
        whole = times.shape[1] == 1 or columns.size == step.payload
        if not whole and step.kind in ("embedding", "one-hot"):
            whole = True  # a look-up gives all of its columns
        found.append(
            Part(None if whole else columns, rows, unique, np.append(first[1:], rows.size))
        )
    return found
