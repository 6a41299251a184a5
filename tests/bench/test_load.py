"""The load generator against a real server."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.api.conftest import server
from tests.api.server import Server
from tests.packages import publish

from ancestral.bench.load import Load, drive_server, load_table, percentiles

__all__ = ["server"]


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("store")
    publish(root, "tiny-wavenet")
    return root


def test_streams_and_scores_are_counted(server: Server) -> None:
    url = str(server.client.base_url).rstrip("/")
    for seconds in (2.0, 10.0, 60.0):  # until it is enough, on a busy machine
        before = server.metric("ancestral_sites_generated_total")
        load = asyncio.run(
            drive_server(url, "tiny-wavenet", streams=3, scorers=2, seconds=seconds, sites=20)
        )
        assert not load.errors
        if load.scores and load.finished >= 3 and load.steady_sites:
            break
    assert load.scores > 0
    assert load.finished >= 3
    assert len(load.first) >= load.finished
    generated = server.standstill() - before
    assert load.finished * 20 <= load.sites <= generated
    found = load.to_json()
    assert found["sites_per_second"] == pytest.approx(load.steady_sites / load.steady)
    assert load.steady_sites <= load.sites
    assert found["server_over_direct"] is None


def test_the_rate_is_that_of_the_time_in_which_all_streams_had_begun() -> None:
    load = Load(seconds=10.0, streams=2)
    for stream, sites, now in [
        (0, 100, 1.0),
        (1, 50, 2.0),
        (0, 30, 3.0),
        (1, 30, 4.0),
        (0, 9, 6.0),
    ]:
        load.arrived(stream, sites, now, 5.0)
    assert load.sites == 219
    assert load.sites_per_second == 60 / 2
    load += load
    load.direct += [50.0, 70.0]
    assert load.over_direct == 30 / 60
    assert "0.50 of the runtime alone (60 sites/s)" in str(load_table(load).caption)


def test_a_model_that_is_not_there_is_refused(server: Server) -> None:
    url = str(server.client.base_url).rstrip("/")
    with pytest.raises(ValueError, match="404"):
        asyncio.run(drive_server(url, "nobody", streams=1, scorers=0, seconds=1.0))


def test_percentiles_are_by_nearest_rank() -> None:
    assert percentiles([float(k) for k in range(100, 0, -1)]) == {"p50": 50, "p95": 95, "p99": 99}
    assert percentiles([3.0]) == {"p50": 3, "p95": 3, "p99": 3}
    assert percentiles([]) == {}
