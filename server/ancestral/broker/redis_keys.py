"""How jobs, queues and streams lie in Redis: names of keys, fields and replies.

q:{MODEL}:LANE:pN     stream of jobs that wait or run, one group, an entry holds the job's id
q:{MODEL}:LANE:ends   when the last ones ended: the recent rate
{job:ID}              hash of a job; it and its stream expire some time after its end
{job:ID}:out          stream of its entries, numbered 1-0, 2-0, …
{held}:…              bytes that jobs hold, for admission
{workers}:…           heartbeats
dead                  stream of jobs that were given up
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis import exceptions as refusals

from ancestral.broker.job import PRIORITIES, BrokerUnavailable, Entry, Lane
from ancestral.broker.queue import Publication

LIBRARY = (Path(__file__).parent / "functions.lua").read_text()
HELD = ("{held}:jobs", "{held}:bytes", "{held}:sum")
WORKERS = ("{workers}:seen", "{workers}:reports")
DEAD = "dead"
DEAD_LENGTH = 10_000  # jobs that were given up, about
GROUP = "workers"
RING = "out"  # channel: ids of jobs that have new entries
WAKE = "wake"  # channel: something was submitted, cancelled or handed over
_AWAY = (
    refusals.ConnectionError,
    refusals.TimeoutError,
    TimeoutError,
    refusals.ReadOnlyError,
    refusals.MasterDownError,
    refusals.OutOfMemoryError,
)


def queue_keys(model: str, lane: Lane) -> list[str]:
    """The streams of a queue, best priority first."""
    return [f"q:{{{model}}}:{lane}:p{priority}" for priority in PRIORITIES]


def ends_key(model: str, lane: Lane) -> str:
    return f"q:{{{model}}}:{lane}:ends"


def job_keys(job: str) -> tuple[str, str]:
    """Its hash and its stream."""
    return f"{{job:{job}}}", f"{{job:{job}}}:out"


def entry_of(identity: bytes, fields: Mapping[bytes, bytes]) -> Entry:
    """An entry as redis-py reads it from a job's stream."""
    return Entry(
        identity.decode(),
        fields[b"event"].decode(),
        json.loads(fields[b"data"]),
        fields[b"payload"],
        fields[b"exact"],
    )


def entry_of_reply(reply: list[Any]) -> Entry:
    """An entry as a function returns it: [id, [field, value, …]]."""
    identity, flat = reply
    return entry_of(identity, dict(zip(flat[::2], flat[1::2], strict=True)))


def fields_of(entry: Publication) -> tuple[str | bytes, ...]:
    """An entry as the function `publish` takes it."""
    progress = "" if entry.progress is None else json.dumps(entry.progress)
    return entry.event, json.dumps(entry.data), entry.payload, entry.exact, progress


def function(name: str, keys: Sequence[str], *args: Any) -> tuple[Any, ...]:
    """The command that calls one of our functions."""
    return ("FCALL", f"a2_{name}", len(keys), *keys, *args)


def unknown_function(error: object) -> bool:
    """Whether the server has yet to learn our functions."""
    return isinstance(error, refusals.ResponseError) and "Function not found" in str(error)


@contextmanager
def reachable() -> Iterator[None]:
    """Raises BrokerUnavailable for what a server says that is away, loading, full or a replica."""
    try:
        yield
    except _AWAY as error:
        raise BrokerUnavailable(str(error) or type(error).__name__) from error
