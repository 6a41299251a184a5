"""The load generator against a real server."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.api.conftest import server
from tests.api.server import Server
from tests.packages import publish

from ancestral.bench.load import drive_server, percentiles

__all__ = ["server"]


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("store")
    publish(root, "tiny-wavenet")
    return root


def test_streams_and_scores_are_counted(server: Server) -> None:
    url = str(server.client.base_url).rstrip("/")
    before = server.metric("ancestral_sites_generated_total")
    load = asyncio.run(
        drive_server(url, "tiny-wavenet", streams=3, scorers=2, seconds=4.0, sites=20)
    )
    assert not load.errors
    assert load.scores > 0
    assert load.finished >= 3
    assert len(load.first) >= load.finished
    generated = server.standstill() - before
    assert load.finished * 20 <= load.sites <= generated
    found = load.to_json()
    assert found["sites_per_second"] == pytest.approx(load.sites / load.seconds)


def test_a_model_that_is_not_there_is_refused(server: Server) -> None:
    url = str(server.client.base_url).rstrip("/")
    with pytest.raises(ValueError, match="404"):
        asyncio.run(drive_server(url, "nobody", streams=1, scorers=0, seconds=1.0))


def test_percentiles_are_by_nearest_rank() -> None:
    assert percentiles([float(k) for k in range(100, 0, -1)]) == {"p50": 50, "p95": 95, "p99": 99}
    assert percentiles([3.0]) == {"p50": 3, "p95": 3, "p99": 3}
    assert percentiles([]) == {}
