"""The Python client beside a worker that dies."""

from __future__ import annotations

import numpy as np
import pytest
from tests.fleet.conftest import Fleet

from ancestral_client import Client

pytestmark = pytest.mark.slow


def test_a_stream_goes_on_when_its_worker_is_killed(fleet: Fleet) -> None:
    server, _ = fleet.api()
    workers = [fleet.worker(), fleet.worker()]
    fleet.wait_until_ready(server, 2)
    wanted = {"seed": 5, "sites": 50_000, "condition": {"label": 1}}
    with fleet.held() as let_go, Client(server.url) as client:
        stream = client.stream("long-wavenet", count=4, **wanted)
        for number, _ in enumerate(stream):
            if number == 3:
                fleet.busiest(workers).kill()
            elif number > 3 and fleet.attempts(stream.job) == {b"2"}:
                let_go()
        assert stream.connections == 1  # the server goes on; nothing has to be asked again
    assert fleet.attempts(stream.job) == {b"2"}
    expected = fleet.model.sample(4, **wanted)
    np.testing.assert_array_equal(stream.item(0), expected.items[0])
    assert stream.finished is not None
    assert stream.finished.items[0].log_prob == pytest.approx(expected.log_prob[0], rel=1e-9)
