"""Sixteen streams and four scoring clients at once, with the same values as one alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from tests.api.server import Server, generate

import ancestral
from ancestral.engine.model import Model

STREAMS, SCORERS, ROUNDS = 16, 4, 8
NAMES = ("tiny-pixelcnn", "tiny-wavenet", "tiny-gpt", "tiny-colour")


def stream(server: Server, index: int) -> tuple[list[Any], list[float]]:
    name = NAMES[index % len(NAMES)]
    label = {"label": index % 3} if name in ("tiny-pixelcnn", "tiny-wavenet") else None
    with server.socket() as socket:
        found = generate(socket, model=name, count=2, seed=index, condition=label)
    assert found.types[-1] == "done"
    scores = [item["log_prob"] for item in found.message("done")["items"]]
    return [found.values(item) for item in range(2)], scores


def score(server: Server, index: int) -> list[list[float]]:
    rng = np.random.default_rng(index)
    found = []
    for _ in range(ROUNDS):
        items = rng.integers(0, 16, (3, 30)).tolist()
        body = {"model": "tiny-wavenet", "inputs": items, "marginal": True}
        answer = httpx.post(f"{server.url}/log_prob", json=body, timeout=120)
        assert answer.status_code == 200
        found.append([result["log_prob"] for result in answer.json()["results"]])
    return found


def test_all_at_once_get_what_each_gets_alone(server: Server, store: Path) -> None:
    with ThreadPoolExecutor(STREAMS + SCORERS) as threads:
        streams = [threads.submit(stream, server, index) for index in range(STREAMS)]
        scorers = [threads.submit(score, server, index) for index in range(SCORERS)]
        streamed = [future.result() for future in streams]
        scored = [future.result() for future in scorers]
    models: dict[str, Model] = {name: ancestral.load(name, root=store) for name in NAMES}
    for index, (items, scores) in enumerate(streamed):
        model = models[NAMES[index % len(NAMES)]]
        label = {"label": index % 3} if model.conditions else None
        alone = model.sample(2, seed=index, condition=label)
        for item, values in enumerate(items):
            np.testing.assert_array_equal(model.item_of(values.astype(np.int64)), alone.items[item])
            assert scores[item] == pytest.approx(alone.log_prob[item], rel=1e-12)
    wavenet = models["tiny-wavenet"]
    for index, rounds in enumerate(scored):
        rng = np.random.default_rng(index)
        for told in rounds:
            items = rng.integers(0, 16, (3, 30))
            expected = [s.log_prob for s in wavenet.log_prob(items, marginal=True)]
            np.testing.assert_allclose(told, expected, rtol=1e-5)


def test_a_late_joiner_is_not_kept_waiting(server: Server) -> None:
    """A short job that arrives while long ones run is done long before they are."""
    long = {"model": "long-wavenet", "sites": 200_000, "count": 64, "condition": {"label": 0}}
    with server.held():
        job = server.post("/sample", long, prefer="respond-async").json()["id"]
        server.until(lambda: server.slots_in_use() > 0)
        with server.socket() as socket:
            short = {"model": "long-wavenet", "sites": 20, "seed": 3, "condition": {"label": 0}}
            assert generate(socket, **short).types[-1] == "done"
        told = server.client.get(f"/jobs/{job}").json()
        assert told["state"] == "running"
        assert told["progress"]["sites_done"] < told["progress"]["sites"] / 10
        server.client.delete(f"/jobs/{job}")
        server.standstill()
