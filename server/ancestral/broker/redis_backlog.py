"""What waits in the queues on Redis: entries that no worker has taken."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, Protocol

from redis.exceptions import ResponseError

from ancestral.broker.job import Job, Lane
from ancestral.broker.redis_keys import GROUP, function, queue_keys

LANES: tuple[Lane, ...] = ("sample", "score")


class Ask(Protocol):
    """Gives the replies to commands."""

    def __call__(self, *commands: tuple[Any, ...]) -> Awaitable[list[Any]]: ...


class Backlog:
    """Entries of a stream less those of its group."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def jobs(self, model: str) -> list[str]:
        """Ids of the jobs of a model that wait."""
        found = []
        for key in _keys(model):
            (entries,) = await self._ask(("XRANGE", key, f"({await self._delivered(key)}", "+"))
            found += [fields[b"job"].decode() for _, fields in entries]
        return found

    async def waiting(self, model: str) -> int:
        """How many they are."""
        return await self.undelivered(_keys(model))

    async def oldest(self, model: str) -> float:
        """Seconds that the first of them has waited."""
        ages = await self._ask(*[function("oldest", [key]) for key in _keys(model)])
        return float(max(ages)) / 1000

    async def ahead(self, job: Job, entry: bytes) -> int:
        """Jobs that wait before the one whose entry this is."""
        keys = queue_keys(job.model, job.lane)
        own = keys[job.priority - 1]
        span = (f"({await self._delivered(own)}", f"({entry.decode()}")
        (before,) = await self._ask(("XRANGE", own, *span))
        return len(before) + await self.undelivered(keys[: job.priority - 1])

    async def undelivered(self, keys: Sequence[str]) -> int:
        """Entries of these streams that no worker has taken."""
        return sum(await self._ask(*[function("undelivered", [key]) for key in keys]))

    async def _delivered(self, key: str) -> str:
        """Id of the last entry of a queue that a worker has taken."""
        try:
            (groups,) = await self._ask(("XINFO GROUPS", key))
        except ResponseError:  # nothing was ever queued
            return "0-0"
        found = [group["last-delivered-id"] for group in groups if group["name"] == GROUP.encode()]
        return str(found[0].decode()) if found else "0-0"


def _keys(model: str) -> list[str]:
    return [key for lane in LANES for key in queue_keys(model, lane)]
