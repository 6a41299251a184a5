"""The Queue on Redis Streams, the API's side: delivery, persistence and failover are Redis's.

What must happen at once happens in the server (functions.lua). A job's hash is written first, then
its entry in the queue; whoever finds the one without the other treats the job as not submitted.
Works with Redis 7.0 and later and with Valkey.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import OutOfMemoryError, ResponseError

from ancestral.broker.job import (
    TERMINAL,
    Entry,
    Job,
    JobExists,
    JobUnknown,
    QueueFull,
    State,
    Status,
    WorkerReport,
)
from ancestral.broker.queue import EXPIRED, START
from ancestral.broker.records import retry_after
from ancestral.broker.redis_backlog import Backlog
from ancestral.broker.redis_keys import (
    HELD,
    LIBRARY,
    RING,
    WAKE,
    WORKERS,
    ends_key,
    entry_of,
    function,
    job_keys,
    queue_keys,
    reachable,
    unknown_function,
)
from ancestral.broker.redis_reader import Bell, Together

ANSWER_SECONDS = 0.9  # a server that takes longer is away; asked twice, so 503 within 2 s
LOOK_SECONDS = 1.0  # a reader that no bell wakes looks again
_FIELDS = ("job", "payload", "state", "attempt", "progress", "cancel", "pause", "entry", "error")


class RedisQueue:
    """The API's side of the protocol; `heartbeat` seconds without a report make a worker gone."""

    def __init__(
        self,
        url: str,
        *,
        depth: int = 256,
        ttl: float = 600.0,
        held_bytes: int = 2**30,
        heartbeat: float = 30.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._depth, self._ttl, self._held_limit = depth, ttl, held_bytes
        self._heartbeat, self._clock = heartbeat, clock
        self._redis = Redis.from_url(
            url,
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 1),
        )
        self._bell = Bell(self._redis)
        self._together = Together(self._redis, 2 * ANSWER_SECONDS)
        self._backlog = Backlog(self._ask)

    async def submit(self, job: Job) -> bool:
        with reachable():
            try:
                return await self._submit(job)
            except OutOfMemoryError:
                raise QueueFull(0, 1.0, "broker memory") from None

    async def _submit(self, job: Job) -> bool:
        key = job_keys(job.id)[0]
        fields = {
            "job": job.to_json(),
            "payload": job.payload,
            "deadline": "" if job.deadline is None else repr(job.deadline),
            "ttl": int(1000 * self._ttl),
        }
        flat = [part for pair in fields.items() for part in pair]
        now = self._clock()
        limits = (job.bytes_held, self._held_limit, now)
        created, (room, dropped) = await self._ask(
            function("create", [key], job.digest, job.lane, *flat),
            function("hold", HELD, job.id, *limits),
        )
        if dropped:
            names = [name for other in dropped for name in job_keys(other.decode())]
            await self._ask(*[("UNLINK", name) for name in names])
        if created == b"other":
            raise JobExists(job.id)
        if created == b"same":
            return False
        try:
            if not room:
                await self._refuse_for_room(job)
            entry = await self._enqueue(job)
        except (QueueFull, OutOfMemoryError):
            await self._ask(("UNLINK", key), function("unhold", HELD, job.id))
            raise
        queued, *_ = await self._ask(
            function("queued", [key], entry),
            function("keep", HELD, job.id, now),
            ("PUBLISH", WAKE, job.model),
        )
        if not queued:
            raise QueueFull(0, 1.0, "broker memory")  # another's job needed the room
        return True

    async def _refuse_for_room(self, job: Job) -> None:
        waiting = await self._backlog.undelivered(queue_keys(job.model, job.lane))
        (times,) = await self._ask(("LRANGE", ends_key(job.model, job.lane), 0, -1))
        raise self._full(waiting, times, "broker memory")

    async def _enqueue(self, job: Job) -> bytes:
        keys = [*queue_keys(job.model, job.lane), ends_key(job.model, job.lane)]
        depth = 0 if job.lane == "control" else self._depth
        found = await self._call("enqueue", keys, job.priority, job.id, depth)
        if isinstance(found, list):
            raise self._full(found[0], found[1], "queue")
        entry: bytes = found
        return entry

    def _full(self, waiting: int, times: Sequence[bytes], reason: str) -> QueueFull:
        pause = retry_after(waiting, [float(end) for end in times], self._clock())
        return QueueFull(waiting, pause, reason)

    async def status(self, job: str) -> Status:
        key, out = job_keys(job)
        with reachable():
            fields, last = await self._ask(
                ("HMGET", key, *_FIELDS), ("XREVRANGE", out, "+", "-", "COUNT", 1)
            )
            found = dict(zip(_FIELDS, fields, strict=True))
            if found["job"] is None:
                raise JobUnknown(job)
            told = Job.from_json(found["job"], found["payload"] or b"")
            state, attempt = State(found["state"].decode()), int(found["attempt"])
            ahead = 0
            if state is State.QUEUED and attempt == 0 and found["entry"]:
                ahead = await self._backlog.ahead(told, found["entry"])
        return Status(
            job=told,
            state=state,
            attempt=attempt,
            progress=json.loads(found["progress"] or b"{}"),
            ahead=ahead,
            cancel_requested=found["cancel"] is not None,
            paused=state not in TERMINAL and float(found["pause"] or 0) > self._clock(),
            error=(found["error"] or b"").decode() or None,
            last=entry_of(*last[0]) if state in TERMINAL and last else None,
        )

    async def read(
        self, job: str, after: str = START, *, count: int = 64, wait: float = 0.0
    ) -> list[Entry]:
        with reachable():
            end = time.monotonic() + wait
            async with self._bell.listen(job) as rung:
                while True:
                    rung.clear()
                    found, late = await self._look(job, after, count)
                    left = end - time.monotonic()
                    if found is not None or left <= 0:
                        return found or []
                    pause = min(left, LOOK_SECONDS)
                    if late is not None:
                        pause = min(pause, late)
                    try:
                        # not wait_for: before Python 3.12 it loses a cancellation
                        async with asyncio.timeout(pause):
                            await rung.wait()
                    except TimeoutError:
                        pass

    async def _look(
        self, job: str, after: str, count: int
    ) -> tuple[list[Entry] | None, float | None]:
        """Entries, none where the job has ended, None where more may come; seconds to deadline."""
        key, out = job_keys(job)
        entries, (state, attempt, deadline) = await self._ask(
            ("XRANGE", out, f"({after}", "+", "COUNT", count),
            ("HMGET", key, "state", "attempt", "deadline"),
        )
        if state is None:
            raise JobUnknown(job)
        if entries or state.decode() in TERMINAL:
            return [entry_of(*entry) for entry in entries], None
        if not deadline or attempt != b"0":
            return None, None
        left = float(deadline) - self._clock()
        if left <= 0:
            await self._refuse(job, EXPIRED)
            return await self._look(job, after, count)
        return None, left + 0.001

    async def cancel(self, job: str) -> bool:
        with reachable():
            found = await self._call("cancel", job_keys(job))
            if found == b"unknown":
                raise JobUnknown(job)
            if found == b"ended":
                await self._ended(job)
            elif found == b"asked":
                await self._ask(("PUBLISH", WAKE, job))
            return bool(found != b"over")

    async def pause(self, job: str, on: bool) -> bool:
        with reachable():
            until = repr(self._clock() + self._ttl) if on else ""
            found = await self._call("pause", job_keys(job)[:1], until)
            if found == b"unknown":
                raise JobUnknown(job)
            await self._ask(("PUBLISH", WAKE, job))
            return bool(found != b"over")

    async def refuse(self, model: str, why: Mapping[str, Any]) -> None:
        with reachable():
            for job in await self._backlog.jobs(model):
                await self._refuse(job, why)

    async def waiting(self, model: str) -> int:
        with reachable():
            return await self._backlog.waiting(model)

    async def oldest(self, model: str) -> float:
        with reachable():
            return await self._backlog.oldest(model)

    async def workers(self) -> list[WorkerReport]:
        with reachable():
            reports = await self._call("workers", WORKERS, self._heartbeat)
        return [WorkerReport.from_json(report) for report in reports]

    async def close(self) -> None:
        await self._bell.close()
        await self._together.close()
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()

    async def _refuse(self, job: str, why: Mapping[str, Any]) -> None:
        """Fail a job that no worker has taken."""
        if await self._call("refuse", job_keys(job), json.dumps(why)):
            await self._ended(job)

    async def _ended(self, job: str) -> None:
        """A job ended without a worker: its entry stays for the next worker that pulls."""
        until = self._clock() + self._ttl
        await self._ask(("ZADD", HELD[0], "XX", until, job), ("PUBLISH", RING, job))

    async def _call(self, name: str, keys: Sequence[str], *args: Any) -> Any:
        """Call one of our functions."""
        (found,) = await self._ask(function(name, keys, *args))
        return found

    async def _ask(self, *commands: tuple[Any, ...]) -> list[Any]:
        """The replies to these; the server is taught our functions where it has none."""
        try:
            return await self._together.ask(*commands)
        except ResponseError as error:
            if not unknown_function(error):
                raise
        await self._together.ask(("FUNCTION", "LOAD", "REPLACE", LIBRARY))
        return await self._together.ask(*commands)
