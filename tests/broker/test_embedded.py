"""The server that comes with us: which port it takes, and that it is the one that answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from ancestral.broker import embedded
from ancestral.broker.embedded import EmbeddedServer, binary

pytestmark = pytest.mark.skipif(binary() is None, reason="there is no Redis-compatible server")


@pytest.fixture
def first(tmp_path: Path) -> Iterator[EmbeddedServer]:
    (tmp_path / "first").mkdir()
    found = EmbeddedServer(tmp_path / "first")
    yield found
    found.stop()


def test_a_port_that_another_server_took_is_left_to_it(
    first: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = [first.port, first.port, embedded._free_port()]
    monkeypatch.setattr(embedded, "_free_port", lambda: ports.pop(0))
    second = EmbeddedServer(tmp_path)
    try:
        assert ports == []
        with redis.Redis.from_url(first.url) as one, redis.Redis.from_url(second.url) as other:
            one.set("of", "the first")
            assert other.get("of") is None
    finally:
        second.stop()


def test_a_server_that_never_comes_up_is_told_of(
    first: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_free_port", lambda: first.port)
    with pytest.raises(ChildProcessError, match=f"on port {first.port}"):
        EmbeddedServer(tmp_path)


def test_what_was_written_is_there_after_a_restart(first: EmbeddedServer) -> None:
    with redis.Redis.from_url(first.url) as client:
        client.set("of", "the first")
    first.stop()
    first.start()
    with redis.Redis.from_url(first.url) as client:
        assert client.get("of") == b"the first"
