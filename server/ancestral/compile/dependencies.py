"""Which elements of its operands each element of a value reads: the edges of the program."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ancestral.compile.place import Ints, Take, Value

NEEDLESS = 1 << 62  # nothing reads it
RECURRENT = {"lstm", "gru", "rnn"}  # each element of the state reads all that the step reads
CARRIED = {*RECURRENT, "running-sum"}  # values that read their own past


def demands(value: Value, times: Ints) -> Iterator[tuple[Take, tuple[int, int], Ints]]:
    """For each operand and tap, when each of the operand's elements is read first.

    `times` [payload] says when each element of the value is computed, NEEDLESS if never.
    """
    takes = [o for o in value.operands if isinstance(o, Take)]
    if value.kind == "conv":
        for tap, reads in zip(takes[0].taps, value.attrs["reads"], strict=True):
            yield takes[0], tap, earliest(reads, times)
    elif value.kind == "linear":
        outer = times.reshape(value.attrs["outer"], -1)
        found = [earliest(value.attrs["reads"], row) for row in outer]
        yield takes[0], takes[0].taps[0], np.concatenate(found)
    elif value.kind == "site-linear":
        first = times.reshape(-1, value.attrs["outer"]).min(1)
        yield takes[0], takes[0].taps[0], np.repeat(first, value.attrs["width"])
    elif value.kind == "site-product":
        rows, width, out = (value.attrs[k] for k in ("rows", "width", "outer"))
        first = times.reshape(-1, rows, out)
        left = np.repeat(first.min(2), width)
        right = np.broadcast_to(first.min(1)[:, None], (len(first), width, out)).ravel()
        for take, times_of in zip(takes, (left, right), strict=True):
            yield take, take.taps[0], times_of
    elif value.kind in ("embedding", "one-hot"):
        yield takes[0], takes[0].taps[0], times.reshape(-1, value.attrs["width"]).min(1)
    elif value.kind == "cat":
        parts = np.empty_like(times)
        parts[value.attrs["order"]] = times
        start = 0
        for operand in value.operands:
            size = (operand.pmap if isinstance(operand, Take) else operand.index).size
            if isinstance(operand, Take):
                yield operand, operand.taps[0], parts[start : start + size]
            start += size
    elif value.kind in ("scores", "mix", "attend"):
        reach = value.attrs["reach"]
        for i, take in enumerate(takes):
            past = i > 0
            row, col = take.taps[0]
            tap = (row, col + reach) if past else (row, col)
            yield take, tap, np.full(take.pmap.shape, times.min(), dtype=np.int64)
    elif value.kind in RECURRENT:
        for take in takes:
            yield take, take.taps[0], np.full(take.pmap.shape, times.min(), dtype=np.int64)
    elif value.kind == "cumsum":
        along = times.reshape(value.attrs["shape"])
        axis = value.attrs["axis"]
        first = np.flip(np.minimum.accumulate(np.flip(along, axis), axis), axis)
        yield takes[0], takes[0].taps[0], first.ravel()
    elif "axes" in value.attrs:
        shape, axes = value.attrs["shape"], value.attrs["axes"]
        kept = tuple(1 if d in axes else s for d, s in enumerate(shape))
        own = times.reshape(kept if times.size == np.prod(kept) else shape)
        own = own.min(axis=tuple(axes), keepdims=True)
        yield takes[0], takes[0].taps[0], np.broadcast_to(own, shape).ravel()
    else:
        for take in takes:
            yield take, take.taps[0], times


def earliest(reads: Any, times: Ints) -> Ints:
    """For each input, the earliest of the outputs that read it with a non-zero weight."""
    order = np.argsort(times, kind="stable")
    sorted_reads = reads[order]
    return np.where(sorted_reads.any(0), times[order][sorted_reads.argmax(0)], NEEDLESS)
