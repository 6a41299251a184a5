"""The Queue on Redis Streams, a worker's side: its thread calls, pulls and publishes in pipelines.

Every call may be repeated as it was after BrokerUnavailable: entries carry their numbers, and those
that are there already are not added again.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.client import PubSub
from redis.exceptions import RedisError
from redis.retry import Retry

from ancestral.broker.job import TERMINAL, Job, WorkerReport
from ancestral.broker.queue import (
    DELIVERIES,
    EXPIRED,
    Asked,
    Delivery,
    Publication,
    Wants,
    given_up,
)
from ancestral.broker.records import RATE_JOBS
from ancestral.broker.redis_keys import (
    DEAD,
    DEAD_LENGTH,
    HELD,
    LIBRARY,
    RING,
    WAKE,
    WORKERS,
    entry_of_reply,
    fields_of,
    job_keys,
    queue_keys,
    reachable,
    unknown_function,
)

ANSWER_SECONDS = 5.0
BEAT_SECONDS = 1.0  # between heartbeats in which nothing has changed
TIDY_SECONDS = 600.0  # between looks for workers that died; they are forgotten after an hour
FORGET_SECONDS = 3600.0


@dataclass(slots=True)
class _Held:
    """A job of this worker: where its entry lies, and how many of its own have been published."""

    job: Job
    stream: str
    entry: bytes
    attempt: int
    entries: int


class RedisWorkerQueue:
    """The worker's side of the protocol, for one worker.

    `lease` seconds without a heartbeat give its jobs to others: longer than its longest turn.
    """

    def __init__(
        self,
        url: str,
        *,
        ttl: float = 600.0,
        lease: float = 30.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ttl, self._lease, self._clock = ttl, lease, clock
        self._redis = Redis.from_url(
            url,
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 1),
        )
        self._held: dict[str, _Held] = {}
        self._ears: PubSub | None = None
        self._awake = threading.Event()
        self._stirred: set[str] = set()  # models whose jobs came since the last pull
        self._models: Mapping[str, Any] = {}
        self._beaten = self._touched = self._tidied = -float("inf")

    def pull(self, worker: str, wants: Wants) -> list[Delivery]:
        if not wants:
            return []
        self._hear()
        self._stirred.clear()
        asked = list(wants.items())
        takes = [
            ("take", queue_keys(*where), worker, count, int(1000 * self._lease))
            for where, count in asked
        ]
        with reachable():
            found: list[tuple[str, bytes, str]] = []
            for (where, _), taken in zip(asked, self._call(takes), strict=True):
                keys = queue_keys(*where)
                found += [(keys[p - 1], entry, job.decode()) for p, entry, job in taken]
            self._tidy([key for where, _ in asked for key in queue_keys(*where)])
            return self._begin(worker, found) if found else []

    def _begin(self, worker: str, found: Sequence[tuple[str, bytes, str]]) -> list[Delivery]:
        tail = (worker, self._clock(), DELIVERIES, json.dumps(EXPIRED))
        begun = self._call(
            [("begin", job_keys(job), entry, *tail) for _, entry, job in found],
        )
        deliveries, over = [], []
        for (stream, entry, job), (outcome, *rest) in zip(found, begun, strict=True):
            if outcome == b"begun":
                attempt, told, payload, entries, suspect = rest
                read = Job.from_json(told, payload or b"")
                self._held[job] = _Held(read, stream, entry, attempt, len(entries))
                published = tuple(map(entry_of_reply, entries))
                deliveries.append(Delivery(read, attempt, published, bool(suspect)))
            else:
                over.append((stream, entry, job))
            if outcome == b"dead":
                self._give_up(job, rest[0].decode())
        self._over(over)
        return deliveries

    def _give_up(self, job: str, error: str) -> None:
        """Keep what is known of a job, then fail it; a crash between leaves both to the next."""
        self._call([("bury", [DEAD], job, error, self._clock(), DEAD_LENGTH)])
        self._call([("give_up", job_keys(job), json.dumps(given_up(error)))])

    def wait(self, seconds: float) -> None:
        if self._awake.is_set():
            self._awake.clear()
            return
        if not self._hear(seconds):
            time.sleep(seconds)

    def wake(self) -> None:
        self._awake.set()

    def stirred(self, models: Collection[str]) -> bool:
        self._hear()
        return not self._stirred.isdisjoint(models)

    def renew(self, report: WorkerReport) -> None:
        now = time.monotonic()
        calls: list[tuple[Any, ...]] = []
        beat = (
            now - self._beaten >= min(BEAT_SECONDS, self._lease / 4)
            or report.models != self._models
        )
        if beat:
            calls.append(("beat", WORKERS, report.worker, report.to_json()))
        touch = now - self._touched >= self._lease / 3
        if touch:
            by_stream: dict[str, list[bytes]] = {}
            for held in self._held.values():
                by_stream.setdefault(held.stream, []).append(held.entry)
            calls += [("touch", [key], report.worker, 0, *ids) for key, ids in by_stream.items()]
        if not calls:
            return
        with reachable():
            self._call(calls)
        if beat:
            self._beaten, self._models = now, report.models
        if touch:
            self._touched = now

    def asked(self, jobs: Collection[str]) -> Asked:
        with reachable(), self._redis.pipeline(transaction=False) as pipe:
            for job in jobs:
                pipe.hmget(job_keys(job)[0], "state", "cancel", "pause")
            replies = dict(zip(jobs, pipe.execute(), strict=True))
        now = self._clock()
        return Asked(
            frozenset(j for j, (state, flag, _) in replies.items() if state is None or flag),
            frozenset(j for j, (_, _, until) in replies.items() if until and float(until) > now),
        )

    def publish(self, publications: Sequence[Publication]) -> set[str]:
        by_job: dict[str, list[Publication]] = {}
        refused: set[str] = set()
        for publication in publications:
            held = self._held.get(publication.job)
            if held is None or held.attempt != publication.attempt:
                refused.add(publication.job)
            else:
                by_job.setdefault(publication.job, []).append(publication)
        if not by_job:
            return refused
        calls = []
        for job, entries in by_job.items():
            held = self._held[job]
            flat = [part for entry in entries for part in fields_of(entry)]
            calls.append(("publish", job_keys(job), held.attempt, held.entries + 1, *flat))
        with reachable():
            accepted = dict(zip(by_job, self._call(calls), strict=True))
            ended = [job for job, told in by_job.items() if told[-1].event in TERMINAL]
            ended = [job for job in ended if accepted[job]]
            self._over([(h.stream, h.entry, h.job.id) for h in map(self._held.__getitem__, ended)])
            self._redis.publish(RING, "\n".join(by_job))
        # only now: what failed above is repeated with the same numbers
        for job, entries in by_job.items():
            self._held[job].entries += len(entries)
            if not accepted[job]:
                refused.add(job)
            if not accepted[job] or job in ended:
                del self._held[job]
        return refused

    def risk(self, job: str, attempt: int) -> None:
        with reachable():
            self._call([("risk", job_keys(job)[:1], attempt)])

    def release(self, worker: str, jobs: Mapping[str, int], error: str = "") -> None:
        mine = {job: held for job in jobs if (held := self._held.get(job)) is not None}
        idle = int(1000 * self._lease) + 1000
        calls: list[tuple[Any, ...]] = []
        for job, held in mine.items():
            calls.append(("let_go", job_keys(job)[:1], worker, jobs[job], error))
            calls.append(("touch", [held.stream], worker, idle, held.entry))
        with reachable():
            if calls:
                self._call(calls)
            self._redis.publish(WAKE, worker)
        for job in mine:
            del self._held[job]

    def leave(self, worker: str) -> None:
        with reachable(), self._redis.pipeline(transaction=False) as pipe:
            pipe.zrem(WORKERS[0], worker)
            pipe.hdel(WORKERS[1], worker)
            pipe.execute()
        self._deaf()
        self._redis.close()

    def _over(self, ended: Sequence[tuple[str, bytes, str]]) -> None:
        """Take the entries of jobs that have ended out of their queues, and wake their readers."""
        if not ended:
            return
        now = self._clock()
        self._call(
            [
                ("ack", [stream, f"{stream.rpartition(':')[0]}:ends"], entry, now, RATE_JOBS)
                for stream, entry, _ in ended
            ]
        )
        with self._redis.pipeline(transaction=False) as pipe:
            for _, _, job in ended:
                pipe.zadd(HELD[0], {job: now + self._ttl}, xx=True)
            pipe.publish(RING, "\n".join(job for _, _, job in ended))
            pipe.execute()

    def _tidy(self, keys: Sequence[str]) -> None:
        now = time.monotonic()
        if now - self._tidied >= TIDY_SECONDS:
            self._tidied = now
            self._call([("tidy", [key], int(1000 * FORGET_SECONDS)) for key in keys])

    def _hear(self, seconds: float = 0.0) -> bool:
        """Read what has woken us, after `seconds` at most; False where the server is away."""
        try:
            if self._ears is None:
                self._ears = PubSub(self._redis.connection_pool, ignore_subscribe_messages=True)
                self._ears.subscribe(WAKE)
            while (message := self._ears.get_message(timeout=seconds)) is not None:
                self._stirred.add(message["data"].decode())
                seconds = 0.0
            return True
        except (RedisError, OSError):
            self._deaf()
            return False

    def _deaf(self) -> None:
        if self._ears is not None:
            self._ears.close()
            self._ears = None

    def _call(self, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Call our functions, (name, keys, *args) each, in one pipeline.

        The server is taught them where it has none.
        """
        with self._redis.pipeline(transaction=False) as pipe:
            for name, keys, *args in calls:
                pipe.fcall(f"a2_{name}", len(keys), *keys, *args)
            commands = list(pipe.command_stack)
            replies = pipe.execute(raise_on_error=False)
            if any(map(unknown_function, replies)):
                self._redis.function_load(LIBRARY, replace=True)
                pipe.command_stack = commands
                replies = pipe.execute(raise_on_error=False)
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies
