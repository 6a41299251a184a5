"""The broker: reachable, new enough, safe, and with workers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

from ancestral.doctor.finding import Finding
from ancestral.doctor.machine import numbers
from ancestral.settings import Settings

PATIENCE = 2.0  # seconds
OLDEST = (7, 0)  # of Redis; Valkey began at 7.2
APART = 1.0  # seconds between two clocks


def broker(settings: Settings) -> Iterator[Finding]:
    """What the server at `settings.broker` says of itself and of its workers."""
    if not settings.broker:
        yield Finding("broker", "memory", "ok", "in this process: one server, one worker")
        return
    import redis

    try:
        with redis.Redis.from_url(
            settings.broker, socket_connect_timeout=PATIENCE, socket_timeout=PATIENCE
        ) as client:
            found: Any = client.info()
            options: Any = client.config_get("appendonly", "maxmemory-policy", "maxmemory")
            before = time.time()
            seconds: Any = client.time()
            after = time.time()
    except (redis.RedisError, OSError) as error:
        mend = "start it, or correct ANCESTRAL_BROKER: host, port, password, TLS (rediss://)"
        yield Finding("broker", "connection", "wrong", _without_secret(str(error)), mend)
        return
    yield _version(found)
    yield from _safety(options)
    theirs = seconds[0] + seconds[1] / 1e6
    apart = max(before - theirs, theirs - after)  # it looked at some time in between
    if apart > APART:
        detail = f"its clock is {apart:.1f} s from ours"
        yield Finding("broker", "clock", "note", detail, "run NTP on both machines")
    yield _workers(settings)


def _version(found: dict[str, Any]) -> Finding:
    name = "Valkey" if "valkey_version" in found else "Redis"
    version = str(found.get("valkey_version") or found["redis_version"])
    if numbers(version) < OLDEST:
        return Finding("broker", name, "wrong", f"{version} is too old", "7.0 is needed")
    return Finding("broker", name, "ok", f"{version} answers")


def _safety(options: dict[str, str]) -> Iterator[Finding]:
    if options.get("appendonly") == "no":
        detail = "keeps nothing on disk: accepted jobs are lost when it ends"
        yield Finding("broker", "appendonly", "note", detail, "appendonly yes")
    policy = options.get("maxmemory-policy", "noeviction")
    if policy != "noeviction" and options.get("maxmemory", "0") != "0":
        detail = f"{policy}: may drop jobs and results that are waited for"
        yield Finding("broker", "maxmemory-policy", "wrong", detail, "maxmemory-policy noeviction")


def _workers(settings: Settings) -> Finding:
    from ancestral.broker.connect import api_queue

    async def ask() -> Any:
        queue = api_queue(settings)
        try:
            return await queue.workers()
        finally:
            await queue.close()

    workers = asyncio.run(ask())
    if not workers:
        mend = "ancestral worker --broker …, with the same store"
        return Finding("broker", "workers", "wrong", "there is none: jobs would wait", mend)
    failed = {
        f"{label}: {report.error}"
        for worker in workers
        for label, report in worker.models.items()
        if report.state == "failed"
    }
    models = {label for worker in workers for label in worker.models}
    detail = f"{len(workers)}, with {len(models)} models"
    if failed:
        return Finding("broker", "workers", "wrong", f"{detail}; {'; '.join(sorted(failed))}")
    return Finding("broker", "workers", "ok", detail)


def _without_secret(text: str) -> str:
    """An error of the connection, without an address that holds a password."""
    return " ".join(word for word in text.split() if "@" not in word)
