from __future__ import annotations

from pathlib import Path

from tests.api.conftest import running
from tests.api.server import receive, send
from tests.packages import publish


def test_a_stopping_server_finishes_streams_and_takes_no_more(tmp_path: Path) -> None:
    publish(tmp_path, "tiny-made")
    publish(tmp_path, "tiny-gpt")
    with (
        running(tmp_path, DRAIN_SECONDS="300") as (server, process),
        server.held("tiny-gpt") as let_go,
        server.socket() as socket,
    ):
        send(socket, type="generate", model="tiny-gpt", count=256, seed=1)
        send(socket, type="generate", model="tiny-gpt", count=256, seed=2)
        receive(socket, ("started",))
        process.terminate()
        server.until(lambda: server.client.get("/health/ready").status_code == 503)
        assert server.client.get("/health/ready").json()["reasons"] == ["draining"]
        refused = server.post("/sample", {"model": "tiny-made"})
        assert refused.status_code == 503
        assert "Retry-After" in refused.headers
        let_go()
        assert receive(socket).types[-1] == "done"
        assert receive(socket).types[-1] == "done"
        assert process.wait(120) in (0, -15)
