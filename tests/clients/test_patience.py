"""What a client makes of a server that is away, is full or says no."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from ancestral_client import (
    Client,
    ProblemError,
    QueueFull,
    Unreachable,
)
from ancestral_client.errors import of_answer, seconds
from ancestral_client.http import Backoff


def test_an_absent_server_is_an_error_at_once() -> None:
    with (
        Client("http://127.0.0.1:9", patience=1e6) as client,
        pytest.raises(Unreachable, match=r"no server answers at http://127\.0\.0\.1:9"),
    ):
        client.models()


def test_full_queues_are_waited_for() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.method)
        if len(asked) % 3:
            headers = {"Retry-After": "0", "Content-Type": "application/problem+json"}
            return httpx.Response(429, headers=headers, json={"status": 429, "title": "Queue full"})
        return httpx.Response(200, json={"models": []})

    with Client(transport=httpx.MockTransport(answer)) as client:
        assert client.models() == []
        assert len(asked) == 3

    def full(request: httpx.Request) -> httpx.Response:
        headers = {"Retry-After": "600", "Content-Type": "application/problem+json"}
        return httpx.Response(429, headers=headers, json={"status": 429})

    with Client(transport=httpx.MockTransport(full)) as client:
        with pytest.raises(QueueFull) as caught:
            client.models()
        assert caught.value.retry_after == 600


def test_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("ancestral_client.http.time.monotonic", lambda: now)
    monkeypatch.setattr("ancestral_client.http.random.uniform", lambda low, high: high)
    backoff = Backoff(patience=3)
    assert [backoff.pause() for _ in range(4)] == [0.2, 0.4, 0.8, 1.6]
    now = 2.0
    assert backoff.pause(retry_after=1) == 1
    assert backoff.pause(retry_after=1.1) is None
    backoff.rest()
    assert backoff.pause() == 0.2


def test_a_refusal_that_is_no_problem_document() -> None:
    error = of_answer(502, {"content-type": "text/html"}, b"<h1>Bad gateway</h1>")
    assert isinstance(error, ProblemError)
    assert (error.status, error.title, error.errors) == (502, "Bad Gateway", ())


def test_retry_after_is_seconds_or_a_date() -> None:
    assert seconds(" 7 ") == 7.0
    now = datetime.now(UTC)
    left = seconds(format_datetime(now + timedelta(seconds=90), usegmt=True))
    passed = (datetime.now(UTC) - now).total_seconds()
    assert left is not None
    assert 89 - passed <= left <= 90  # a date has whole seconds
    assert seconds("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert seconds("soon") is None
    assert seconds(None) is None
