"""The queues of a process as its settings say."""

from __future__ import annotations

from ancestral.broker.queue import Queue, WorkerQueue
from ancestral.settings import Settings


def api_queue(settings: Settings) -> Queue:
    """The API's side of the broker at `settings.broker`."""
    from ancestral.broker.redis import RedisQueue

    return RedisQueue(
        settings.broker,
        depth=settings.queue_depth,
        ttl=settings.job_ttl_seconds,
        held_bytes=settings.broker_bytes,
        heartbeat=settings.lease_seconds,
    )


def worker_queue(settings: Settings) -> WorkerQueue:
    """A worker's side of the broker at `settings.broker`."""
    from ancestral.broker.redis_worker import RedisWorkerQueue

    return RedisWorkerQueue(
        settings.broker, ttl=settings.job_ttl_seconds, lease=settings.lease_seconds
    )
