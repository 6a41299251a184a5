"""What this machine gives at most, measured in the same run: the yardsticks of the shares."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

_SIDE = 1024  # of the square matrices multiplied: 12 MB, the usual place of the peak
_REPEATS = 10
_STREAMS = 4
_SELF = Path("/proc/self")

Clock = Callable[[], float]
CLOCKS: dict[str, Clock] = {
    "wall": time.perf_counter,
    "cpu": time.process_time,  # of all threads together: steadier where others use the machine
}


@dataclass(frozen=True, slots=True)
class Machine:
    """`flops`: float32 multiply-adds, counted twice, a second; of torch on that many threads."""

    threads: int
    flops: float
    processor: str
    clock: str


def machine(clock: str = "wall") -> Machine:
    """Measure the matrix product on torch's present number of threads, by one of `CLOCKS`."""
    a, b = torch.randn(_SIDE, _SIDE), torch.randn(_SIDE, _SIDE)
    best = fastest(lambda: torch.mm(a, b), _REPEATS, CLOCKS[clock])
    return Machine(torch.get_num_threads(), 2 * _SIDE**3 / best, _processor(), clock)


def stream_rate(size: int, clock: Clock = time.perf_counter) -> float:
    """Bytes a second at which so many bytes are read again and again: weights as a step meets them.

    Measured at the very size, for weights that fit a cache stream faster than memory. Four streams
    at once are what one core reads fastest: the machine's own reading ahead stops at every page.
    """
    weights = np.ones((_STREAMS, max(1, size // (4 * _STREAMS))), dtype=np.float32)
    read = _reader()
    read(weights)  # compiled
    return size / fastest(lambda: read(weights), _REPEATS, clock)


@cache
def _reader() -> Callable[[Any], Any]:
    """Adds up the rows of an array [_STREAMS, n], all of them at the same time."""
    import numba

    def summed(x: Any) -> Any:
        a = b = c = d = np.float32(0)
        for i in range(x.shape[1]):
            a += x[0, i]
            b += x[1, i]
            c += x[2, i]
            d += x[3, i]
        return a + b + c + d

    found: Callable[[Any], Any] = numba.njit(fastmath=True)(summed)
    return found


def fastest(work: Callable[[], object], repeats: int, clock: Clock = time.perf_counter) -> float:
    """Seconds of the fastest of some runs: what the machine does when it is left alone."""
    return min(seconds(work, clock) for _ in range(repeats))


def seconds(work: Callable[[], object], clock: Clock = time.perf_counter) -> float:
    start = clock()
    work()
    return clock() - start


def forget_peak_memory() -> None:
    """Start a new peak, where the system allows it (Linux's clear_refs); else the old one holds."""
    try:
        (_SELF / "clear_refs").write_text("5")
    except OSError:
        return


def peak_memory() -> int:
    """The process's largest resident size since `forget_peak_memory`, bytes."""
    try:
        for line in (_SELF / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return "unknown processor"
