"""The app without its worker: what admission and the queue alone decide."""

from __future__ import annotations

import asyncio
import io
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from tests.packages import publish

from ancestral.api import create_app
from ancestral.engine.model import Model
from ancestral.settings import Settings

MADE = {"model": "tiny-made"}
LATER = {"prefer": "respond-async"}


class Client:
    """Calls the app on a loop of its own, and waits."""

    def __init__(self, app: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self._client = httpx.AsyncClient(
            transport=transport, base_url="http://localhost", timeout=30
        )

    def __getattr__(self, verb: str) -> Any:
        def call(path: str, **options: Any) -> httpx.Response:
            return self._loop.run_until_complete(getattr(self._client, verb)(path, **options))

        return call


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    """Without a lifespan no worker runs; the model is loading for as long as the test lasts."""
    publish(tmp_path, "tiny-made")
    publish(tmp_path, "tiny-pixelcnn")
    over = threading.Event()

    def never(label: str) -> Model:
        over.wait()
        raise RuntimeError("the test is over")

    app = create_app(
        Settings(models=tmp_path, queue_depth=2, max_output_bytes=60, max_item_sites=100), never
    )
    loop = asyncio.new_event_loop()
    yield Client(app, loop)
    loop.run_until_complete(app.state.services.close())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    over.set()


def test_a_full_queue_is_429_with_the_time_to_wait(client: Client) -> None:
    for _ in range(2):
        assert client.post("/sample", json=MADE, headers=LATER).status_code == 202
    refused = client.post("/sample", json=MADE)
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) >= 1
    metrics = client.get("/metrics").text
    rejected = 'ancestral_admission_rejections_total{model="tiny-made/1",reason="queue"} 1.0'
    assert rejected in metrics
    assert 'ancestral_requests_waiting{model="tiny-made/1"} 2.0' in metrics


def test_a_deadline_passes_although_no_worker_runs(client: Client) -> None:
    late = client.post("/sample", json={**MADE, "timeout_seconds": 0.05})
    assert late.status_code == 504
    score = {**MADE, "inputs": [[0] * 6], "timeout_seconds": 0.05}
    assert client.post("/log_prob", json=score).status_code == 504


def test_a_waiting_job_can_be_cancelled(client: Client) -> None:
    where = client.post("/sample", json=MADE, headers=LATER).headers["location"]
    assert client.get(where).json()["state"] == "queued"
    assert client.delete(where).json()["state"] == "canceled"
    assert 'requests_waiting{model="tiny-made/1"} 0.0' in client.get("/metrics").text


def test_the_age_of_the_oldest_waiting_job_is_told(client: Client) -> None:
    def age() -> float:
        text = client.get("/metrics").text
        name = r'ancestral_requests_waiting_oldest_seconds{model="tiny-made/1"} (.*)'
        return float(re.findall(name, text)[0])

    assert age() == 0
    where = client.post("/sample", json=MADE, headers=LATER).headers["location"]
    time.sleep(0.05)
    assert age() >= 0.05
    client.delete(where)
    assert age() == 0


def test_a_failed_job_says_why(client: Client) -> None:
    body = {**MADE, "timeout_seconds": 0.05}
    where = client.post("/sample", json=body, headers=LATER).headers["location"]
    assert client.get(f"{where}/events").text.count("event: failed") == 1
    told = client.get(where).json()
    assert (told["state"], told["error"]["status"]) == ("failed", 504)


def test_an_answer_that_would_be_too_large(client: Client) -> None:
    assert client.post("/sample", json={**MADE, "count": 10}, headers=LATER).status_code == 202
    assert client.post("/sample", json={**MADE, "count": 11}).status_code == 413


def test_not_ready_says_why(client: Client) -> None:
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["reasons"] == ["tiny-made/1: loading", "tiny-pixelcnn/1: loading"]
    status = client.get("/health/status")
    assert (status.status_code, status.json()) == (200, answer.json())


def test_the_page_is_at_the_root(client: Client) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert client.get("/no-such-file.js").status_code == 404


def test_another_method_than_a_route_takes(client: Client) -> None:
    for answer in (client.get("/sample"), client.get("/models/tiny-made/load")):
        assert answer.status_code == 405
        assert answer.headers["allow"] == "POST"
        assert answer.json()["status"] == 405
    assert client.post("/models").headers["allow"] == "GET"


@pytest.mark.parametrize(("side", "status"), [(10, 504), (11, 422)])
def test_a_picture_of_more_pixels_than_the_setting_allows(
    client: Client, side: int, status: int
) -> None:
    file = io.BytesIO()
    Image.fromarray(np.zeros((side, side), np.uint8)).save(file, "PNG")
    url = "/log_prob?model=tiny-pixelcnn&fit=true&marginal=true&timeout_seconds=0.05"
    answer = client.post(url, content=file.getvalue(), headers={"content-type": "image/png"})
    assert answer.status_code == status, answer.text
    assert (status == 504) or "at most 100" in answer.json()["detail"]
