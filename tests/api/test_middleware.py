from __future__ import annotations

import asyncio
import json
import logging

from starlette.types import Message, Receive, Scope, Send
from tests.api.server import Server

from ancestral.api.middleware import HandOver
from ancestral.logs import JsonLines, current_request


def test_a_request_id_is_echoed_or_made(server: Server) -> None:
    given = server.client.get("/health/live", headers={"X-Request-Id": "abc-1.2"})
    assert given.headers["X-Request-Id"] == "abc-1.2"
    made = server.client.get("/health/live").headers["X-Request-Id"]
    assert len(made) == 32
    for strange in ("a b", "x" * 65, "a\tb"):
        answer = server.client.get("/health/live", headers={"X-Request-Id": strange})
        assert answer.headers["X-Request-Id"] != strange


def test_every_refusal_has_it(server: Server) -> None:
    for answer in (
        server.client.get("/no/such/page"),
        server.client.put("/log_prob"),
        server.client.post("/log_prob", content=b"x" * (2**20 + 1)),
    ):
        problem = answer.json()
        assert problem["request_id"] == answer.headers["X-Request-Id"]
        assert problem["status"] == answer.status_code


def test_json_lines() -> None:
    record = logging.LogRecord("ancestral.access", logging.INFO, "", 0, "%s", ("hello",), None)
    record.job = "j"
    plain = json.loads(JsonLines().format(record))
    assert "request_id" not in plain
    token = current_request.set("r")
    line = json.loads(JsonLines().format(record))
    current_request.reset(token)
    assert (line["message"], line["level"], line["request_id"], line["job"]) == (
        "hello",
        "info",
        "r",
        "j",
    )


def test_a_request_that_is_broken_off_is_answered_with_503() -> None:
    async def hangs(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(60)

    async def run() -> list[Message]:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/sample", "headers": []}
        task = asyncio.ensure_future(HandOver(hangs)(scope, hangs, send))
        await asyncio.sleep(0)
        task.cancel()
        await task
        return sent

    start, body = asyncio.run(run())
    assert start["status"] == 503
    assert (b"retry-after", b"5") in start["headers"]
    assert b"Draining" in body["body"]
