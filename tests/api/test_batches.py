from __future__ import annotations

import json
from typing import Any

from tests.api.server import Server

SAMPLE = {"model": "tiny-made", "seed": 3, "count": 2}
SCORE = {"model": "tiny-made", "inputs": [[0, 1, 1, 0, 1, 0]]}


def post(server: Server, lines: list[Any], **headers: str) -> dict[str, Any]:
    """Responses by custom_id."""
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    headers = {"content-type": "application/jsonl", **headers}
    answer = server.client.post("/batches", content=text, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/jsonl"
    found = [json.loads(line) for line in answer.text.splitlines()]
    assert len(found) == len([line for line in lines if line])
    return {line["custom_id"]: line["response"] for line in found}


def test_lines_answer_what_their_requests_answer(server: Server) -> None:
    found = post(
        server,
        [
            {"custom_id": "draw", "method": "POST", "url": "/sample", "body": SAMPLE},
            "",
            {"custom_id": "score", "url": "/log_prob", "body": SCORE},
            {"url": "/embed", "body": {"model": "tiny-gpt", "inputs": [[[[0] * 4] * 4]]}},
        ],
    )
    sampled, alone = found["draw"]["body"], server.post("/sample", SAMPLE).json()
    assert found["draw"]["status_code"] == 200
    assert sampled["items"] == alone["items"]
    scored = found["score"]["body"]["results"][0]
    assert scored["log_prob"] == server.post("/log_prob", SCORE).json()["results"][0]["log_prob"]
    assert found["line-4"]["body"]["width"] == 8


def test_a_bad_line_fails_alone(server: Server) -> None:
    found = post(
        server,
        [
            "{",
            {"custom_id": "a", "url": "/health/ready", "body": {}},
            {"custom_id": "b", "url": "/sample", "body": {"model": "nothing"}},
            {"custom_id": "c", "url": "/log_prob", "body": {**SCORE, "inputs": [[7] * 6]}},
            {"custom_id": "d", "url": "/log_prob", "body": SCORE},
        ],
    )
    statuses = {name: response["status_code"] for name, response in found.items()}
    assert statuses == {"line-1": 400, "a": 422, "b": 404, "c": 422, "d": 200}
    assert found["c"]["body"]["errors"][0]["field"].startswith("inputs[0]")


def test_more_lines_than_the_queue_is_deep_wait_for_room(server: Server) -> None:
    lines = [{"custom_id": str(n), "url": "/log_prob", "body": SCORE} for n in range(300)]
    found = post(server, lines)
    assert {response["status_code"] for response in found.values()} == {200}


def test_a_batch_sent_again_under_its_key_is_not_repeated(server: Server) -> None:
    lines = [{"custom_id": "a", "url": "/sample", "body": {"model": "tiny-made"}}]
    first = post(server, lines, **{"idempotency-key": "k"})["a"]["body"]
    again = post(server, lines, **{"idempotency-key": "k"})["a"]["body"]
    other = post(server, lines)["a"]["body"]
    assert (again["job"], again["seed"]) == (first["job"], first["seed"])
    assert other["seed"] != first["seed"]
