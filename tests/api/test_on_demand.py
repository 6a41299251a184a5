"""Models that are not loaded at the start: the first request waits for the load."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from tests.packages import publish

from ancestral.api import create_app
from ancestral.engine.model import Model, load
from ancestral.engine.process import preloaded
from ancestral.settings import Settings

pytestmark = pytest.mark.skipif("bool(__import__('os').environ.get('ANCESTRAL_TEST_FLEET'))")


def test_first_requests_load_within_the_memory(store: Path) -> None:
    settings = Settings(models=store, packages="tiny-made,tiny-gpt", preload="none", slots=2)
    with TestClient(create_app(settings), "http://localhost") as client:
        deadline = time.monotonic() + 240
        while client.get("/health/ready").status_code != 200:
            assert time.monotonic() < deadline
        assert client.get("/models/tiny-made").json()["state"] == "on_demand"
        scored = client.post("/log_prob", json={"model": "tiny-made", "inputs": [[0] * 6]})
        assert scored.status_code == 200
        assert client.get("/models/tiny-made").json()["state"] == "ready"
        assert client.get("/models/tiny-gpt").json()["state"] == "on_demand"
        told = {
            m["name"]: (m["state"], m["loadable"]) for m in client.get("/models").json()["models"]
        }
        assert told["tiny-gpt"] == ("on_demand", True)
        assert told["long-wavenet"] == ("unloaded", False)  # not among the packages
        assert client.post("/models/long-wavenet/load").status_code == 503
        left_out = client.post("/sample", json={"model": "long-wavenet", "sites": 5})
        assert left_out.status_code == 409
        assert "no worker serves it" in left_out.json()["detail"]
        drawn = client.post("/sample", json={"model": "tiny-gpt", "seed": 1})
        assert drawn.status_code == 200
        assert client.post("/models/tiny-made/unload").json()["state"] == "unloaded"
        refused = client.post("/log_prob", json={"model": "tiny-made", "inputs": [[0] * 6]})
        assert refused.status_code in (409, 503)


def test_what_a_name_unloads_is_what_it_serves(tmp_path: Path) -> None:
    """Not a version that was put into the store beside it and that nobody has loaded."""
    publish(tmp_path, "tiny-made")
    with TestClient(create_app(Settings(models=tmp_path)), "http://localhost") as client:
        deadline = time.monotonic() + 240
        while client.get("/health/ready").status_code != 200:
            assert time.monotonic() < deadline
        publish(tmp_path, "tiny-made", version=2)
        gone = client.post("/models/tiny-made/unload").json()
        assert (gone["version"], gone["versions"], gone["state"]) == (1, [1, 2], "unloaded")
        refused = client.post("/log_prob", json={"model": "tiny-made", "inputs": [[0] * 6]})
        assert refused.status_code in (409, 503)
        assert client.post("/models/tiny-made/load").json()["version"] == 2
        scored = client.post("/log_prob", json={"model": "tiny-made", "inputs": [[0] * 6]}).json()
        assert scored["model"] == "tiny-made/2"


def test_a_package_that_does_not_load_fails_who_waited(store: Path) -> None:
    def loader(label: str) -> Model:
        if label == "tiny-made/1":
            raise ValueError("this one is broken")
        return load(label, store)

    settings = Settings(models=store, packages="tiny-made", preload="none")
    with TestClient(create_app(settings, loader), "http://localhost") as client:
        failed = client.post("/log_prob", json={"model": "tiny-made", "inputs": [[0] * 6]})
        assert failed.status_code == 503
        assert "broken" in failed.json()["detail"]
        assert "retry-after" in failed.headers
        assert client.get("/models/tiny-made").json()["state"] == "failed"


def test_workers_of_a_fleet_load_in_orders_of_their_own() -> None:
    served = [f"model-{n}/1" for n in range(20)]
    fleet = Settings(broker="redis://127.0.0.1:1/0")
    orders = [preloaded(fleet, served) for _ in range(2)]
    assert orders[0] != orders[1]
    assert {*orders[0]} == {*orders[1]} == {*served}
    assert preloaded(Settings(), served) == served
    chosen = Settings(broker="redis://127.0.0.1:1/0", preload="model-3,model-1")
    assert preloaded(chosen, served) == ["model-3/1", "model-1/1"]


def test_what_is_preloaded_must_be_served(store: Path) -> None:
    with pytest.raises(ValueError, match=r"PRELOAD .*: tiny-gpt"):
        create_app(Settings(models=store, packages="tiny-made", preload="tiny-gpt"))
