"""Allowances as token buckets, and tokens that stand for a key for a minute.

A bucket holds as much as may be spent in a minute and fills evenly. What costs more than a full
bucket is granted from a full one, which then is in debt, so that a large request is slow to come
round again but never impossible. The ledger in Redis is shared by API processes; this one is not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

MINUTE = 60.0
MOST = 100_000  # buckets and tokens that are kept in memory; full ones go first


@dataclass(frozen=True, slots=True)
class Rate:
    """What may be spent in a minute."""

    per_minute: int

    @property
    def per_second(self) -> float:
        return self.per_minute / MINUTE


@dataclass(frozen=True, slots=True)
class Level:
    """What a bucket holds after it was asked; below 0 where it is in debt."""

    granted: bool
    held: float
    rate: Rate

    @property
    def remaining(self) -> int:
        return max(0, math.floor(self.held))

    @property
    def reset_seconds(self) -> int:
        """Until the bucket is full."""
        return math.ceil(max(0.0, self.rate.per_minute - self.held) / self.rate.per_second)

    def retry_after(self, cost: float) -> int:
        """Seconds until so much would be granted."""
        needed = min(cost, self.rate.per_minute) - self.held
        return max(1, math.ceil(needed / self.rate.per_second))


def spend(held: float, since: float, rate: Rate, cost: float) -> tuple[bool, float]:
    """Whether a bucket that held so much, seconds ago, grants the cost; and what it then holds."""
    now = min(rate.per_minute, held + since * rate.per_second)
    granted = now >= min(cost, rate.per_minute)
    return granted, now - cost if granted else now


class Ledger(Protocol):
    """Where allowances and tokens are kept. Each may raise BrokerUnavailable."""

    async def spend(self, bucket: str, rate: Rate, cost: float) -> Level:
        """Take `cost` from a bucket if it grants that."""
        ...

    async def issue(self, token: str, key: str, seconds: float) -> None:
        """Let `token` (its hash) stand for a key's id for some seconds."""
        ...

    async def redeem(self, token: str) -> str | None:
        """The id of the key that a token stands for."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class MemoryLedger:
    """Of one process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, tuple[float, float, float]] = {}  # held, then, full at
        self._tokens: dict[str, tuple[str, float]] = {}

    async def spend(self, bucket: str, rate: Rate, cost: float) -> Level:
        now = self._clock()
        held, then, _ = self._buckets.get(bucket, (float(rate.per_minute), now, now))
        granted, held = spend(held, now - then, rate, cost)
        if len(self._buckets) >= MOST:
            self._buckets = {name: kept for name, kept in self._buckets.items() if kept[2] > now}
        full = now + (rate.per_minute - held) / rate.per_second
        self._buckets[bucket] = (held, now, full)
        return Level(granted, held, rate)

    async def issue(self, token: str, key: str, seconds: float) -> None:
        now = self._clock()
        if len(self._tokens) >= MOST:
            self._tokens = {text: kept for text, kept in self._tokens.items() if kept[1] > now}
        self._tokens[token] = (key, now + seconds)

    async def redeem(self, token: str) -> str | None:
        key, end = self._tokens.get(token, ("", 0.0))
        return key if key and self._clock() < end else None

    async def close(self) -> None:
        """Nothing to do."""
