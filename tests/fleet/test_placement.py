"""Where models are and jobs go, while workers differ, versions change and a job is deadly."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from tests.api.server import Server
from tests.fleet import streams
from tests.fleet.conftest import Fleet, publish_long
from tests.fleet.test_faults import SITES, under_way, until

pytestmark = pytest.mark.slow

SCORE = {"model": "tiny-made", "inputs": [[0, 1, 1, 0, 1, 0]]}
DRAW = {"model": "long-wavenet", "seed": 1, "sites": 20, "condition": {"label": 1}}
# a worker that a job called `poison` ends as a fault of the machine would
DEADLY = f"""
import os, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from ancestral.cli.main import main
from ancestral.engine.batch import RunningBatch
from tests import pace
pace.slow_down(Path(os.environ[pace.HOLD]))
admit = RunningBatch.admit
def deadly(batch, delivery):
    if delivery.job.id == "poison":
        os.kill(os.getpid(), 9)
    admit(batch, delivery)
RunningBatch.admit = deadly
main()
"""


def models(server: Server) -> list[dict[str, str]]:
    """The state of each worker's models."""
    with contextlib.suppress(httpx.TransportError):
        found = server.client.get("/workers").json()["workers"]
        return [{k: model["state"] for k, model in each["models"].items()} for each in found]
    return []


def hold(server: Server, *held: set[str]) -> bool:
    """Whether the workers are as many, and each has loaded these models and no others."""
    found = sorted(sorted(worker.items()) for worker in models(server))
    return found == sorted(sorted((label, "ready") for label in worker) for worker in held)


def test_a_job_goes_only_where_its_model_is(fleet: Fleet) -> None:
    server, _ = fleet.api()
    sound = fleet.worker("--models", "long-wavenet")
    fleet.worker("--models", "tiny-made")
    until(lambda: hold(server, {"long-wavenet/1"}, {"tiny-made/1"}), 240)
    for _ in range(10):
        assert server.post("/log_prob", SCORE).status_code == 200
        assert server.post("/sample", DRAW).status_code == 200
    sound.send_signal(signal.SIGTERM)
    assert sound.wait(120) == 0
    until(lambda: hold(server, {"tiny-made/1"}))
    refused = server.post("/sample", DRAW)
    assert refused.status_code == 409  # nobody has it
    assert refused.json()["errors"][0]["field"] == "model"
    assert server.client.post("/models/long-wavenet/load").status_code == 503  # nobody may
    assert server.post("/log_prob", SCORE).status_code == 200
    fleet.worker("--models", "long-wavenet")
    until(lambda: hold(server, {"long-wavenet/1"}, {"tiny-made/1"}), 240)
    assert server.post("/sample", DRAW).status_code == 200


def test_a_new_version_takes_over_while_streams_run(fleet: Fleet, tmp_path: Path) -> None:
    shutil.copytree(fleet.store, tmp_path / "store")
    fleet.store = tmp_path / "store"
    fleet.settings = {"PACKAGES": "long-wavenet"}
    server, _ = fleet.api()
    fleet.worker(), fleet.worker()
    until(lambda: hold(server, {"long-wavenet/1"}, {"long-wavenet/1"}), 240)
    with fleet.held() as let_go, ThreadPoolExecutor(1) as pool:
        readers = streams.start(server, SITES, count=3)
        under_way(readers)
        publish_long(fleet.store, version=2)
        shown = server.client.get("/models/long-wavenet").json()
        assert (shown["version"], shown["versions"], shown["state"]) == (1, [1, 2], "ready")
        assert server.post("/sample", DRAW).json()["model"] == "long-wavenet/1"
        loaded = server.client.post("/models/long-wavenet/load?version=2", timeout=400)
        assert loaded.status_code == 200
        assert server.post("/sample", DRAW).json()["model"] == "long-wavenet/2"
        assert not any(reader.ended for reader in readers)
        address = f"{server.url}/models/long-wavenet/unload?version=1"
        away = pool.submit(httpx.post, address, timeout=400)  # it answers when it is done
        until(lambda: any("leaving" in worker.values() for worker in models(server)))
        assert server.post("/sample", DRAW).json()["model"] == "long-wavenet/2"
        let_go()
        while not away.done():
            assert server.post("/sample", DRAW).json()["model"] == "long-wavenet/2"
        assert away.result().json()["state"] == "unloaded"
    streams.join(readers, fleet.model)
    assert hold(server, {"long-wavenet/2"}, {"long-wavenet/2"})
    assert server.post("/sample", DRAW | {"model": "long-wavenet/1"}).status_code == 409


def test_a_job_that_ends_every_worker_is_given_up(fleet: Fleet) -> None:
    fleet.settings = {"PACKAGES": "long-wavenet"}
    deadly = [sys.executable, "-c", DEADLY]
    server, _ = fleet.api()
    worker = fleet.worker(command=deadly)
    fleet.wait_until_ready(server, 1)
    deaths = 0

    def given_up() -> bool:
        nonlocal worker, deaths
        if worker.poll() is not None:
            assert worker.returncode == -signal.SIGKILL
            deaths += 1
            worker = fleet.worker(command=deadly)
        state: str = server.client.get("/jobs/poison").json().get("state", "")
        return state == "failed"

    with fleet.held():
        readers = streams.start(server, SITES, count=4)
        under_way(readers)
        begun = server.client.put("/sample/poison", json=DRAW, headers={"Prefer": "respond-async"})
        assert begun.status_code == 202
        until(given_up, 400)
    assert deaths == 3
    told = server.client.get("/jobs/poison").json()
    assert "was lost in attempt 3" in told["error"]["detail"]
    assert server.client.get("/jobs/poison/result").status_code == 500
    ((_, dead),) = fleet.redis.xrange("dead")
    assert dead[b"job"] == b"poison"
    assert dead[b"error"].decode() in told["error"]["detail"]
    streams.join(readers, fleet.model)
    assert server.post("/sample", DRAW).status_code == 200
