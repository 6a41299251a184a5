"""A job's stream as server-sent events (HTML standard, section 9.2)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from ancestral.api.following import patiently
from ancestral.api.problems import Problem
from ancestral.broker import TERMINAL, Entry, Queue
from ancestral.broker.queue import START
from ancestral.engine.values import from_bytes

KEEP_ALIVE_SECONDS = 15.0  # a comment this often keeps proxies awake


def sse(event: str, data: Mapping[str, Any], cursor: str = "") -> bytes:
    """One event; `cursor` is what the client sends back as Last-Event-ID."""
    identity = f"id: {cursor}\n" if cursor else ""
    return f"{identity}event: {event}\ndata: {json.dumps(data)}\n\n".encode()


def cursor_of(header: str) -> str:
    """A Last-Event-ID that is one of ours, or none. Raises a problem."""
    number = header.partition("-")[0]
    if header and not (number.isascii() and number.isdecimal() and len(number) < 19):
        raise Problem.of_field("Last-Event-ID", "is no cursor of this stream", 400)
    return header


async def events(queue: Queue, job: str, after: str = "") -> AsyncIterator[bytes]:
    """Everything after the cursor until the job ends: started, output, progress, and the end."""
    cursor = after or START
    dtype = ""
    while True:
        entries = await patiently(queue.read, job, cursor, wait=KEEP_ALIVE_SECONDS)
        if not entries:
            if (await patiently(queue.status, job)).state in TERMINAL:
                return
            yield b": keep-alive\n\n"
            continue
        for entry in entries:
            if entry.event == "output" and not dtype:
                first = await patiently(queue.read, job, START, count=1)
                dtype = first[0].data["dtype"]
            yield sse(entry.event, _data(entry, dtype), entry.id)
            if entry.final:
                return
        cursor = entries[-1].id
        status = await patiently(queue.status, job)
        if status.progress:
            yield sse("progress", status.progress, cursor)


def _data(entry: Entry, dtype: str) -> Mapping[str, Any]:
    if entry.event == "output":
        values = from_bytes(entry.payload, dtype, 1).reshape(-1).tolist()
        return {**entry.data, "values": values}
    if entry.event == "failed":
        return Problem.of_event(entry.data).document()
    return entry.data
