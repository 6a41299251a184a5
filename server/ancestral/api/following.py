"""Follow a job's stream to its end, for as long as somebody listens."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, ParamSpec, TypeVar

from fastapi import Request

from ancestral.api.problems import ClientGone, Problem
from ancestral.broker import TERMINAL, BrokerUnavailable, Entry, JobUnknown, Queue
from ancestral.broker.queue import START

WAIT_SECONDS = 15.0  # one read of the queue
PATIENCE_SECONDS = 60.0  # with a broker that is away while a job runs
AGAIN_SECONDS = 0.5
Answer = TypeVar("Answer")
Asked = ParamSpec("Asked")


async def follow(queue: Queue, job: str, after: str = START) -> AsyncIterator[Entry]:
    """Entries after the cursor until the final one. Raises JobUnknown if the job expires.

    A broker that is away is a pause, and an error only after `PATIENCE_SECONDS`.
    """
    cursor = after
    while True:
        entries = await patiently(queue.read, job, cursor, wait=WAIT_SECONDS)
        for entry in entries:
            yield entry
            if entry.final:
                return
            cursor = entry.id
        if not entries and (await patiently(queue.status, job)).state in TERMINAL:
            return


async def patiently(
    ask: Callable[Asked, Coroutine[Any, Any, Answer]], *args: Asked.args, **options: Asked.kwargs
) -> Answer:
    """The broker's answer, asked for again while it is away. Raises BrokerUnavailable at last."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return await ask(*args, **options)
        except BrokerUnavailable:
            if time.monotonic() > end:
                raise
        await asyncio.sleep(AGAIN_SECONDS)


async def everything(queue: Queue, job: str) -> list[Entry]:
    """The whole stream of a job, once it has ended. Raises a problem where it failed."""
    entries = [entry async for entry in follow(queue, job)]
    raise_if_failed(entries[-1])
    return entries


def raise_if_failed(entry: Entry) -> None:
    """A job's last entry as the problem that it tells of, if any."""
    if entry.event == "failed":
        raise Problem.of_event(entry.data)
    if entry.event == "canceled":
        raise Problem(409, "Canceled", "the job was canceled before it was done")


async def cancel(queue: Queue, job: str) -> None:
    """Cancel what may have ended or expired already."""
    with contextlib.suppress(JobUnknown, BrokerUnavailable):
        await queue.cancel(job)


@contextlib.contextmanager
def ended_with_client(cancel: Callable[[str], None], job: str, *, keep: bool) -> Iterator[None]:
    """Have `cancel` end the job, unless `keep`, where its client hangs up before the answer."""
    try:
        yield
    except (ClientGone, asyncio.CancelledError):
        if not keep:
            cancel(job)
        raise


async def while_connected(request: Request, work: Coroutine[Any, Any, Answer]) -> Answer:
    """The result of `work`, or ClientGone as soon as the client hangs up."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone
        return task.result()
    finally:
        for pending in (task, gone):
            if not pending.done():
                pending.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
