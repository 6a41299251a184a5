"""The ledger that API processes share: `{allow:BUCKET}` and `{token:HASH}` in Redis."""

from __future__ import annotations

from pathlib import Path

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from ancestral.access.allowance import Level, Rate
from ancestral.broker.redis_keys import reachable

ANSWER_SECONDS = 0.9  # a server that takes longer is away; asked twice, so 503 within 2 s
_BUCKET = (Path(__file__).parent / "bucket.lua").read_text(encoding="utf-8")


class RedisLedger:
    """What the broker's server keeps beside the jobs."""

    def __init__(self, url: str) -> None:
        self._redis = Redis.from_url(
            url,
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 1),
        )
        self._bucket = self._redis.register_script(_BUCKET)

    async def spend(self, bucket: str, rate: Rate, cost: float) -> Level:
        with reachable():
            granted, held = await self._bucket(
                keys=[f"{{allow:{bucket}}}"], args=[rate.per_minute, cost]
            )
        return Level(bool(granted), float(held), rate)

    async def issue(self, token: str, key: str, seconds: float) -> None:
        with reachable():
            await self._redis.set(f"{{token:{token}}}", key, px=round(1000 * seconds))

    async def redeem(self, token: str) -> str | None:
        with reachable():
            found = await self._redis.get(f"{{token:{token}}}")
        return found.decode() if isinstance(found, bytes) else found

    async def close(self) -> None:
        await self._redis.aclose()
