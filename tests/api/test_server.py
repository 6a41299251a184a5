from __future__ import annotations

import time
from pathlib import Path

import httpx
from tests.api.conftest import running
from tests.api.server import receive, send
from tests.packages import publish


def test_a_stopping_server_finishes_streams_and_takes_no_more(tmp_path: Path) -> None:
    publish(tmp_path, "tiny-made")
    publish(tmp_path, "tiny-gpt")
    with running(tmp_path) as (server, process), server.socket() as socket:
        # enough items that the stream goes on for a while after the signal
        send(socket, type="generate", model="tiny-gpt", count=256, seed=1)
        send(socket, type="generate", model="tiny-gpt", count=256, seed=2)
        receive(socket, ("started",))
        process.terminate()
        end = time.monotonic() + 30
        while (answer := httpx.get(f"{server.url}/health/ready")).status_code == 200:
            assert time.monotonic() < end
        assert answer.json()["reasons"] == ["draining"]
        refused = httpx.post(f"{server.url}/sample", json={"model": "tiny-made"})
        assert refused.status_code == 503
        assert "Retry-After" in refused.headers
        assert receive(socket).types[-1] == "done"
        assert receive(socket).types[-1] == "done"
        assert process.wait(60) in (0, -15)
