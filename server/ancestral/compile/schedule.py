"""The backward pass: when each value is computed, and how much of it is kept.

Walking from the params to the codes, every element gets a deadline: the earliest moment anything
reads it. A value of the grid whose inputs all lie in earlier rows than its deadline is computed a
row at a time when that row starts; everything else at its site, before the channel that needs it,
or after the last channel where only later sites do. What nothing reads is not computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ancestral.compile.dependencies import CARRIED, NEEDLESS, demands
from ancestral.compile.errors import CompileError, UnsupportedOperator
from ancestral.compile.place import (
    FUTURE,
    Fixed,
    Ints,
    Take,
    Value,
    View,
    key,
    moved,
    split_key,
)
from ancestral.compile.step import Absent, Phase, Read, Ring, Step

# Values whose elements may be computed a group at a time, each before the channel that needs it.
SPLITTABLE = {"pointwise", "copy", "linear", "conv", "cat", "embedding", "one-hot"}

UNREAD = -1  # the sub-step of elements that nothing reads
_ROW_START = -(1 << 18)  # the column at which row steps run: before every site


@dataclass
class Slot:
    """When a value is computed: `phase`, `lead` (see Step) and the sub-step of each element."""

    phase: Phase
    lead: tuple[int, int]
    sub: Ints

    @property
    def times(self) -> Ints:
        if self.phase == "row":
            return np.full(self.sub.shape, key(self.lead[0], _ROW_START), dtype=np.int64)
        return np.array([key(*self.lead, int(s)) for s in self.sub], dtype=np.int64)


def schedule(
    values: list[Value], params: View, limit: Ints, columns: int, subs: int
) -> tuple[list[Step], Read]:
    """Steps in order of execution for the values that the params need, and how params are read.

    `limit` [params payload] is the key by which each element of the params is wanted.
    """
    deadline = {id(v): np.full(v.payload, NEEDLESS, dtype=np.int64) for v in values}
    codes = values[0]
    slots: dict[int, Slot] = {
        id(codes): Slot("site", (0, 0), np.full(codes.payload, subs, dtype=np.int64))
    }
    np.minimum.at(deadline[id(params.value)], params.pmap, moved(limit, *_negative(params.shift)))
    for value in reversed(values[1:]):
        wanted = deadline[id(value)]
        if (wanted == NEEDLESS).all():
            continue
        slots[id(value)] = slot = _place(value, wanted, subs)
        for take, tap, times in demands(value, np.where(wanted == NEEDLESS, NEEDLESS, slot.times)):
            inner = take.view.value
            if value.kind == "copy" and inner.space != value.space:
                times = _converted(times, value.space, columns)
            np.minimum.at(deadline[id(inner)], take.pmap, moved(times, *_negative(tap)))
    return _steps(values, slots, params, columns)


def _negative(offset: tuple[int, int]) -> tuple[int, int]:
    return -offset[0], -offset[1]


def _place(value: Value, wanted: Ints, subs: int) -> Slot:
    needed = wanted != NEEDLESS
    ready, first = value.ready[needed], int(wanted[needed].min())
    row, col, _ = split_key(first)
    latest = int(ready.max())
    if value.space == "grid" and (latest <= -FUTURE or split_key(latest)[0] < row):
        return Slot("row", (row, 0), np.zeros(value.payload, dtype=np.int64))
    splittable = value.kind in SPLITTABLE and value.attrs.get("outer", 1) == 1
    for lead in ((0, 0), (row, col)):
        if value.kind in CARRIED and lead[1] < 0:
            reason = "its state is wanted before the first step of an item"
            raise UnsupportedOperator(value.op, value.source, reason)
        sub = np.full(value.payload, UNREAD, dtype=np.int64)
        for i in np.flatnonzero(needed):
            r, c, s = split_key(int(wanted[i]))
            sub[i] = min(s, subs) if (r, c) == lead else subs
        first_sub = sub[needed].min()
        if not splittable:
            sub[:] = first_sub
        elif (sub[needed] == first_sub).all():
            sub[:] = first_sub  # what nothing reads comes along: one product, no gather
        at = np.array([key(*lead, int(s)) for s in sub[needed]], dtype=np.int64)
        if (value.ready[needed] < at).all() and (at <= wanted[needed]).all():
            return Slot("site", lead, sub)
    raise CompileError(f"{value.op} at {value.source}: no moment lies between its inputs and use")


def _converted(times: Ints, space: str, columns: int) -> Ints:
    """Times on the reader's lattice as seen from the other: a rank's neighbour may wrap a row."""
    out = []
    for time in times:
        if abs(int(time)) >= FUTURE:
            out.append(int(time))
            continue
        row, col, sub = split_key(int(time))
        if space == "flat":
            out.append(key(0, col, sub) if col >= 0 else key(-1 + col // columns, 0, 0))
        else:
            out.append(key(0, row * columns + max(col, -columns), sub))
    return np.array(out, dtype=np.int64)


def _steps(
    values: list[Value], slots: dict[int, Slot], params: View, columns: int
) -> tuple[list[Step], Read]:
    """Steps with their reads resolved to lags and their caches sized by the readers."""
    kept: dict[int, list[int]] = {}  # value -> [ring length, left, right]
    drafts: list[tuple[Value, Slot, list[Any]]] = []
    alive = [v for v in values[1:] if id(v) in slots]
    for value in alive:
        slot = slots[id(value)]
        operands: list[Any] = []
        for position, operand in enumerate(value.operands):
            if isinstance(operand, Take) and id(operand.view.value) not in slots:
                operands.append(Absent(operand.pmap.size))
            elif isinstance(operand, Take):
                past = position > 0 and value.kind in ("scores", "mix", "attend")
                taps = operand.taps
                if past:
                    taps = tuple((r, c + value.attrs["reach"]) for r, c in taps)
                operands.append(_read(operand, taps, value, slot, slots, columns, kept))
            else:
                operands.append(operand)
        drafts.append((value, slot, operands))
    out = Value("params", "params", "", "", params.space, params.extent, params.pmap.size, [], {},
                params.ready)  # fmt: skip
    end = Slot("site", (0, 0), np.zeros(1, dtype=np.int64))
    result = Take(params, params.pmap, (params.shift,))
    read = _read(result, result.taps, out, end, slots, columns, kept)
    steps = []
    for value, slot, operands in drafts:
        ring = Ring(*kept[id(value)]) if id(value) in kept else None
        fill = value.attrs.get("fill_table", value.fill if value.fill is not None else 0.0)
        steps.append(
            Step(
                value.name,
                value.kind,
                value.op,
                value.source,
                value.attrs,
                tuple(operands),
                value.payload,
                value.space,
                value.extent,
                slot.phase,
                slot.lead,
                slot.sub,
                ring,
                0.0 if isinstance(fill, Fixed) else fill,
                value.keyed,
            )
        )
    codes_ring = kept.get(id(values[0]), [1, 0, 0])
    steps.insert(0, _codes_step(values[0], slots[id(values[0])], Ring(*codes_ring)))
    return steps, read


def _codes_step(value: Value, slot: Slot, ring: Ring) -> Step:
    return Step(
        value.name, "codes", "", "", value.attrs, (), value.payload, value.space, value.extent,
        slot.phase, slot.lead, slot.sub, ring, value.fill if isinstance(value.fill, float) else 0.0,
    )  # fmt: skip


def _read(take: Take, taps: tuple[tuple[int, int], ...], reader: Value, slot: Slot,
          slots: dict[int, Slot], columns: int, kept: dict[int, list[int]]) -> Read:  # fmt: skip
    """Resolve an operand's taps to (lag, offset) and note what its source must keep."""
    source = take.view.value
    made = slots[id(source)]
    identity = take.pmap.size == source.payload and (take.pmap == np.arange(source.payload)).all()
    pmap = None if identity else take.pmap
    resolved = []
    for row, col in taps:
        if source.space == reader.space == "grid":
            lag = slot.lead[0] - row - made.lead[0]
            resolved.append((lag, col - (slot.lead[1] if slot.phase == "site" else 0)))
        elif source.space == reader.space:
            resolved.append((slot.lead[1] - col - made.lead[1], 0))
        elif reader.space == "flat":  # raster rank − lead, wrapped into rows by the runtime
            resolved.append((-made.lead[0], -slot.lead[1]))
        else:
            resolved.append((slot.lead[0] * columns + slot.lead[1] - made.lead[1], 0))
    same_phase = made.phase == slot.phase and (made.phase == "row" or made.lead[1] == 0)
    whole = source.extent[1] >= columns if source.space == "grid" else made.lead[1] == 0
    whole = whole and made.lead[0] == 0 if made.phase == "site" else whole
    in_step = all(lag == 0 for lag, _ in resolved)
    aligned = all(offset == 0 for _, offset in resolved)
    if slot.phase == "row":
        aligned = aligned and source.extent[1] == reader.extent[1] and made.lead[0] <= 0
    direct = same_phase and whole and in_step and aligned and source.kind != "codes"
    if not direct:
        _keep(source, made, reader, slot, resolved, columns, kept)
    return Read(source.name, tuple(resolved), pmap, direct)


def _keep(source: Value, made: Slot, reader: Value, slot: Slot, taps: list[tuple[int, int]],
          columns: int, kept: dict[int, list[int]]) -> None:  # fmt: skip
    need = kept.setdefault(id(source), [1, 0, 0])
    for lag, offset in taps:
        if lag < 0:
            raise CompileError(f"{reader.op} at {reader.source} reads {source.name} too early")
        if source.space == "grid" and reader.space == "flat":
            wrapped = -(-max(-offset, 0) // columns)
            need[0] = max(need[0], lag + wrapped + 1)
            continue
        need[0] = max(need[0], lag + 1)
        if source.space == "grid":
            width = reader.extent[1] if slot.phase == "row" else columns
            need[1] = max(need[1], -offset)
            need[2] = max(need[2], offset + width - source.extent[1])
