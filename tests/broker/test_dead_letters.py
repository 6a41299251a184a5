"""The stream of jobs that were given up, by a plain Redis client; a worker dies at each step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import redis
from tests.broker.conftest import Broker, job

from ancestral.broker import BrokerUnavailable, State
from ancestral.broker.embedded import EmbeddedServer


@pytest.mark.parametrize("broker", ["redis"], indirect=True)
@pytest.mark.parametrize("fatal", ["bury", "give_up", "ack"])
def test_a_job_is_buried_once_though_workers_die_over_it(
    broker: Broker, server: EmbeddedServer, fatal: str
) -> None:
    """Whatever the call before which the worker that gives a job up is lost."""
    broker.submit(job("poison"))
    for attempt in (1, 2, 3):
        for delivery in broker.pull(worker=f"w{attempt}"):
            if delivery.suspect:
                broker.worker(f"w{attempt}").risk("poison", attempt)
        broker.expire_lease()
    _lose_before(broker.worker("w4"), fatal)
    with pytest.raises(BrokerUnavailable):
        broker.pull(worker="w4")
    broker.expire_lease()
    assert broker.names(worker="w5") == []
    status = broker.status("poison")
    assert (status.state, status.error) == (State.FAILED, "w3 was lost in attempt 3")
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        ((_, told),) = client.xrange("dead")
        assert (told["job"], told["error"]) == ("poison", "w3 was lost in attempt 3")
        assert not any(client.xlen(key) for key in client.scan_iter("q:*:p*"))


def _lose_before(worker: Any, fatal: str) -> None:
    call = worker._call

    def lost(calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        if calls[0][0] == fatal:
            raise redis.ConnectionError("lost")
        return list(call(calls))

    worker._call = lost
