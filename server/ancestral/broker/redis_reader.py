"""What one process asks of Redis: one connection for all, one subscription that wakes readers.

Workers ring a channel with the ids of the jobs that have new entries, once a turn. The bell is a
hint: a reader looks again every second, and after the connection was lost.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from ancestral.broker.redis_keys import RING

AGAIN_SECONDS = 1.0  # between attempts to subscribe
Request = tuple[tuple[Any, ...], ...]  # commands of one asker


class Bell:
    """Events by job, set when the job's stream has grown."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._listeners: dict[str, set[asyncio.Event]] = {}
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def listen(self, job: str) -> AsyncIterator[asyncio.Event]:
        """An event that is set, now and then for nothing, when there is more to read."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        event = asyncio.Event()
        self._listeners.setdefault(job, set()).add(event)
        try:
            yield event
        finally:
            self._listeners[job].discard(event)
            if not self._listeners[job]:
                del self._listeners[job]

    async def close(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(RedisError, OSError):
                await self._listen()
            await asyncio.sleep(AGAIN_SECONDS)

    async def _listen(self) -> None:
        async with self._redis.pubsub(ignore_subscribe_messages=True) as channel:
            await channel.subscribe(RING)
            self._ring(list(self._listeners))  # what was missed meanwhile
            while True:
                message = await channel.get_message(timeout=None)
                if message is not None:
                    self._ring(message["data"].decode().split("\n"))

    def _ring(self, jobs: list[str]) -> None:
        for job in jobs:
            for event in self._listeners.get(job, ()):
                event.set()


class Together:
    """Commands of all who ask at the same time, in one pipeline: they share a connection.

    An answer that takes longer than `patience` seconds is a TimeoutError.
    """

    def __init__(self, redis: Redis, patience: float) -> None:
        self._redis, self._patience = redis, patience
        self._asked: list[tuple[Request, asyncio.Future[list[Any]]]] = []
        self._task: asyncio.Task[None] | None = None

    async def ask(self, *commands: tuple[Any, ...]) -> list[Any]:
        """The replies to these commands. Raises the first error among them."""
        answer: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._asked.append((commands, answer))
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())
        async with asyncio.timeout(self._patience):
            return await answer

    async def close(self) -> None:
        """Wait for what was asked: a connection that is in use cannot be closed well."""
        if self._task is not None:
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        while self._asked:
            asked, self._asked = self._asked, []
            try:
                async with self._redis.pipeline(transaction=False) as pipe:
                    for commands, _ in asked:
                        for command in commands:
                            pipe.execute_command(*command)
                    replies = await pipe.execute(raise_on_error=False)
            except Exception as error:  # whoever asked raises it
                for _, answer in asked:
                    if not answer.done():
                        answer.set_exception(error)
                continue
            at = 0
            for commands, answer in asked:
                own = replies[at : at + len(commands)]
                at += len(commands)
                if not answer.done():
                    errors = [reply for reply in own if isinstance(reply, Exception)]
                    if errors:
                        answer.set_exception(errors[0])
                    else:
                        answer.set_result(own)
