from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ancestral.access import Ledger, MemoryLedger, Rate
from ancestral.access.redis_ledger import RedisLedger
from ancestral.broker import BrokerUnavailable
from ancestral.broker.embedded import EmbeddedServer, binary


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if binary() is None:
        pytest.skip("there is no Redis-compatible server")
    server = EmbeddedServer(tmp_path_factory.mktemp("redis"))
    yield server.url
    server.stop()


@asynccontextmanager
async def ledger_of(kind: str, request: pytest.FixtureRequest) -> AsyncIterator[Ledger]:
    ledger: Ledger = (
        MemoryLedger() if kind == "memory" else RedisLedger(request.getfixturevalue("broker"))
    )
    yield ledger
    await ledger.close()


@pytest.mark.parametrize("kind", ["memory", "redis"])
def test_a_bucket_empties_and_says_when_to_come_back(
    kind: str, request: pytest.FixtureRequest
) -> None:
    async def run() -> None:
        async with ledger_of(kind, request) as ledger:
            rate = Rate(2)  # one in 30 s
            levels = [await ledger.spend("a", rate, 1) for _ in range(3)]
            assert [level.granted for level in levels] == [True, True, False]
            assert [level.remaining for level in levels] == [1, 0, 0]
            assert 0 < levels[2].retry_after(1) <= 30
            assert 30 < levels[2].reset_seconds <= 60
            assert (await ledger.spend("b", rate, 1)).granted  # another's is its own

    asyncio.run(run())


@pytest.mark.parametrize("kind", ["memory", "redis"])
def test_what_is_larger_than_a_bucket_is_granted_once(
    kind: str, request: pytest.FixtureRequest
) -> None:
    async def run() -> None:
        async with ledger_of(kind, request) as ledger:
            started = time.monotonic()
            first = await ledger.spend("large", Rate(600), 6000)
            assert first.granted
            assert first.held == -5400
            second = await ledger.spend("large", Rate(600), 1)
            assert not second.granted
            since = time.monotonic() - started
            assert 539 - since <= second.retry_after(1) <= 541  # 5401 at ten a second

    asyncio.run(run())


@pytest.mark.parametrize("kind", ["memory", "redis"])
def test_tokens_stand_for_a_key_for_a_while(kind: str, request: pytest.FixtureRequest) -> None:
    async def run() -> None:
        async with ledger_of(kind, request) as ledger:
            await ledger.issue("hash", "alice", 60)
            await ledger.issue("late", "alice", 0.001)
            await asyncio.sleep(0.01)
            assert await ledger.redeem("hash") == "alice"
            assert await ledger.redeem("late") is None
            assert await ledger.redeem("other") is None

    asyncio.run(run())


def test_a_ledger_that_is_away() -> None:
    async def run() -> None:
        ledger = RedisLedger("redis://127.0.0.1:1/0")
        with pytest.raises(BrokerUnavailable):
            await ledger.spend("a", Rate(2), 1)
        await ledger.close()

    asyncio.run(run())


@given(
    st.integers(1, 1000),
    st.lists(st.tuples(st.integers(0, 200), st.integers(1, 1000)), max_size=60),
)
def test_no_more_is_granted_than_the_rate_and_one_bucket(
    limit: int, asked: list[tuple[int, int]]
) -> None:
    """Over any time: what was granted before the last grant <= a bucket + rate x time."""
    now = 0.0
    ledger = MemoryLedger(clock=lambda: now)
    spent, last = Fraction(0), Fraction(0)

    async def run() -> None:
        nonlocal now, spent, last
        for pause, cost in asked:
            now += pause
            if (await ledger.spend("a", Rate(limit), cost)).granted:
                spent, last = spent + cost, Fraction(max(0, cost - limit))
                allowed = limit + Fraction(limit, 60) * Fraction(now)
                assert spent - last <= allowed + Fraction(1, 10**6)

    asyncio.run(run())


def test_memory_stays_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ancestral.access.allowance.MOST", 10)
    now = 0.0
    ledger = MemoryLedger(clock=lambda: now)

    async def run() -> None:
        nonlocal now
        for number in range(100):
            now += 60
            await ledger.spend(f"bucket-{number}", Rate(60), 1)
            await ledger.issue(f"token-{number}", "alice", 1)

    asyncio.run(run())
    assert len(ledger._buckets) <= 10
    assert len(ledger._tokens) <= 10


def test_the_script_is_shipped() -> None:
    import ancestral.access

    assert (Path(ancestral.access.__file__).parent / "bucket.lua").is_file()


def test_api_processes_share_their_counts(broker: str) -> None:
    async def run() -> None:
        first, second = RedisLedger(broker), RedisLedger(broker)
        levels = [await ledger.spend("shared", Rate(3), 1) for ledger in (first, second) * 2]
        assert [level.granted for level in levels] == [True, True, True, False]
        await first.issue("of-the-first", "alice", 60)
        assert await second.redeem("of-the-first") == "alice"
        for ledger in (first, second):
            await ledger.close()

    asyncio.run(run())
