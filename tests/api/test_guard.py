"""A server with keys: who comes in, what it costs, and what the log says of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.api.server import Server, receive, send
from tests.packages import publish
from tests.ports import free_port
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection

from ancestral.access import create, revoke

MADE = {"model": "tiny-made", "seed": 1}
SCORE: dict[str, Any] = {"model": "tiny-made", "inputs": [[0, 1, 0, 1, 0, 1]]}


@dataclass
class Guarded:
    server: Server
    path: Path
    log: Path
    keys: dict[str, str]

    def ask(self, method: str, path: str, who: str = "", **options: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.keys[who]}"} if who else {}
        headers |= options.pop("headers", {})
        return self.server.client.request(method, path, headers=headers, **options)

    def socket(self, *protocols: str, query: str = "") -> ClientConnection:
        return self.server.socket(*protocols, query=query)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    path, log = folder / "keys.json", folder / "log"
    publish(folder / "store", "tiny-made")
    keys = {
        "alice": create(path, "alice")[1],
        "bob": create(path, "bob", requests_per_minute=3)[1],
        "carol": create(path, "carol", sites_per_minute=60)[1],
        "admin": create(path, "admin", admin=True)[1],
        "gone": create(path, "gone")[1],
    }
    port = free_port()
    command = [sys.executable, "-m", "ancestral.cli.main", "serve", "--port", str(port)]
    command += ["--models", str(folder / "store"), "--keys", str(path), "--log-format", "json"]
    command += ["--cors-origins", "https://page.example", "--host", "0.0.0.0"]
    with log.open("w") as lines:
        process = subprocess.Popen(command, stderr=lines, env=os.environ)
    server = Server(f"http://127.0.0.1:{port}")
    try:
        end = time.monotonic() + 240
        while True:
            assert time.monotonic() < end
            assert process.poll() is None, log.read_text()
            try:
                if server.client.get("/health/ready").status_code == 200:
                    break
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        yield Guarded(server, path, log, keys)
    finally:
        process.terminate()
        process.wait(60)
        server.client.close()


def test_everything_but_health_and_the_page_needs_a_key(guarded: Guarded) -> None:
    client = guarded.server.client
    document = guarded.ask("GET", "/openapi.json", "alice").json()
    paths = [(m, p) for p, ways in document["paths"].items() for m in ways]
    assert len(paths) > 12
    for method, path in paths:
        answer = client.request(method, re.sub(r"{\w+}", "x", path))
        opened = path.startswith(("/health/", "/v2/health/"))
        assert (answer.status_code != 401) == opened, path
        if not opened and not path.startswith("/v2"):
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.json()["request_id"] == answer.headers["x-request-id"]
    for path in ("/openapi.json", "/docs", "/nowhere", "/Health/live", "/health/../models"):
        assert client.get(path).status_code in (401, 404), path
    for path in ("/", "/index.html", "/app.js", "/client/index.js"):
        assert client.get(path).status_code == 200, path


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer x",
        "Basic YWxpY2U6eA==",
        "anc_00000000_",
        "Bearer " + "é" * 9,
        "Bearer a b",
    ],
)
def test_what_is_no_key(guarded: Guarded, header: str) -> None:
    answer = guarded.server.client.get("/models", headers={"authorization": header.encode()})
    assert answer.status_code == 401


def test_a_key_in_a_query_is_no_key(guarded: Guarded) -> None:
    for name in ("token", "key", "api_key"):
        answer = guarded.server.client.get("/models", params={name: guarded.keys["alice"]})
        assert answer.status_code == 401


def test_a_revoked_key(guarded: Guarded) -> None:
    assert guarded.ask("GET", "/models", "gone").status_code == 200
    revoke(guarded.path, "gone")
    answer = guarded.ask("GET", "/models", "gone")
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


def test_loading_needs_an_admin(guarded: Guarded) -> None:
    for action in ("load", "unload"):
        answer = guarded.ask("POST", f"/models/tiny-made/{action}", "alice")
        assert answer.status_code == 403
        assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
    assert guarded.ask("POST", "/models/tiny-made/load", "admin").status_code == 200


def test_an_allowance_of_requests(guarded: Guarded) -> None:
    started = time.monotonic()
    answers = [guarded.ask("GET", "/models/tiny-made", "bob")]
    while answers[-1].status_code == 200:
        answers.append(guarded.ask("GET", "/models/tiny-made", "bob"))
    assert answers[-1].status_code == 429
    back = int((time.monotonic() - started) / 20)  # granted again meanwhile, one in 20 s
    assert 3 <= len(answers) - 1 <= 3 + back
    assert answers[0].headers["ratelimit-policy"] == '"requests";q=3;w=60'
    assert re.fullmatch(r'"requests";r=2;t=\d+', answers[0].headers["ratelimit"])
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 20
    assert answers[-1].json()["retry_after"] == int(answers[-1].headers["retry-after"])
    assert re.match(r'"requests";r=0;', answers[-1].headers["ratelimit"])
    assert guarded.ask("GET", "/models/tiny-made", "alice").status_code == 200


def test_an_allowance_of_sites(guarded: Guarded) -> None:
    first = guarded.ask("POST", "/sample", "carol", json={**MADE, "count": 8})  # 48 sites
    assert first.status_code == 200
    assert first.headers["ratelimit"].startswith('"sites";r=12;')
    assert guarded.ask("POST", "/log_prob", "carol", json=SCORE).status_code == 200  # 6
    # more than is left, for the better part of a minute
    nine = {**SCORE, "inputs": SCORE["inputs"] * 9}
    refused = guarded.ask("POST", "/log_prob", "carol", json=nine)
    assert refused.status_code == 429
    assert "60 sites a minute" in refused.json()["detail"]
    with guarded.socket(f"ancestral.key.{guarded.keys['carol']}") as stream:
        send(stream, type="generate", **MADE, count=9)
        problem = receive(stream).message("error")["error"]
        assert problem["status"] == 429
        assert problem["retry_after"] >= 1


def test_jobs_belong_to_their_key(guarded: Guarded) -> None:
    path = "/sample/of-alice"
    assert guarded.ask("PUT", path, "alice", json=MADE).status_code == 200
    assert guarded.ask("PUT", path, "alice", json=MADE).status_code == 200
    dave = create(guarded.path, "dave")[1]
    other = {"authorization": f"Bearer {dave}"}
    for where in ("/jobs/of-alice", "/jobs/of-alice/result", "/jobs/of-alice/events"):
        assert guarded.ask("GET", where, headers=other).status_code == 404
        assert guarded.ask("GET", where, "alice").status_code == 200
        assert guarded.ask("GET", where, "admin").status_code == 200
    assert guarded.ask("DELETE", "/jobs/of-alice", headers=other).status_code == 404
    assert guarded.ask("PUT", path, headers=other, json=MADE).status_code == 404
    with guarded.socket(f"ancestral.key.{dave}") as stream:
        for message in ({"type": "resume", "next": [0]}, {"type": "cancel"}):
            send(stream, job="of-alice", **message)
            assert receive(stream).message("error")["error"]["status"] == 404


def test_sockets(guarded: Guarded) -> None:
    with guarded.socket(f"ancestral.key.{guarded.keys['alice']}") as stream:
        assert stream.subprotocol == "ancestral.v1"
        send(stream, type="generate", **MADE)
        assert receive(stream).types[-1] == "done"
    for protocol in (
        "ancestral.key.x",
        "ancestral.token.x",
        f"ancestral.token.{guarded.keys['alice']}",
    ):
        with pytest.raises(InvalidStatus) as caught:
            guarded.socket(protocol)
        assert caught.value.response.status_code == 401
    with pytest.raises(InvalidStatus):
        guarded.socket()


def test_tokens(guarded: Guarded) -> None:
    answer = guarded.ask("POST", "/tokens", "alice")
    assert answer.headers["cache-control"] == "no-store"
    token = answer.json()["token"]
    assert answer.json()["expires_in"] == 60
    for protocols, query in (((f"ancestral.token.{token}",), ""), ((), f"?token={token}")):
        with guarded.socket(*protocols, query=query) as stream:
            send(stream, type="generate", **MADE)
            assert receive(stream).types[-1] == "done"
    guarded.ask("PUT", "/sample/by-token", "alice", json=MADE)
    got = guarded.ask("GET", f"/jobs/by-token/events?token={token}")
    assert got.status_code == 200
    assert "event: done" in got.text
    assert guarded.ask("POST", f"/sample?token={token}", json=MADE).status_code == 401
    assert guarded.ask("POST", "/tokens").status_code == 401


def test_pages_of_other_origins(guarded: Guarded) -> None:
    asked = {
        "origin": "https://page.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type",
    }
    answer = guarded.ask("OPTIONS", "/log_prob", headers=asked)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://page.example"
    answer = guarded.ask("GET", "/models", "alice", headers={"origin": "https://page.example"})
    assert "RateLimit" in answer.headers["access-control-expose-headers"]
    other = guarded.ask("OPTIONS", "/log_prob", headers=asked | {"origin": "https://evil.example"})
    assert other.status_code == 400
    assert "access-control-allow-origin" not in other.headers


def test_the_log_tells_of_keys_but_holds_no_secret(guarded: Guarded) -> None:
    token = guarded.ask("POST", "/tokens", "alice").json()["token"]
    with guarded.socket(query=f"?token={token}"):
        pass
    with guarded.socket(f"ancestral.key.{guarded.keys['alice']}"):
        pass
    guarded.ask("GET", f"/models/{guarded.keys['alice']}", "alice")  # by mistake, in a path
    text = guarded.log.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert guarded.keys["alice"].split("_")[1] in {line.get("key") for line in lines}
    assert token not in text
    for key in guarded.keys.values():
        assert key not in text
        assert key.split("_", 2)[2] not in text
