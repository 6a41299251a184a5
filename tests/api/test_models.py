from __future__ import annotations

from tests.api.server import Server
from tests.packages import TINY


def test_the_list_tells_what_a_client_needs(server: Server) -> None:
    found = {model["name"]: model for model in server.client.get("/models").json()["models"]}
    assert set(TINY) <= set(found)
    image, sound, made = found["tiny-colour"], found["tiny-wavenet"], found["tiny-made"]
    assert (image["kind"], image["shape"], image["levels"]) == ("image", [3, 3, 4], 4)
    assert (image["sites"], image["dims_per_site"], image["length"]) == (12, 3, None)
    assert (sound["sample_rate"], sound["sites"]) == (1000, None)
    assert sound["length"] == {"default": 30, "maximum": 100}
    assert sound["conditions"][0] == {
        "name": "label", "kind": "label", "classes": 3, "hop": 1, "prior": [0.5, 0.25, 0.25],
    }  # fmt: skip
    assert made["state"] == "ready"
    assert made["derived"] is True
    assert made["versions"] == [1]
    assert found["known-made"]["reference_n"] == 64
    assert (made["title"], made["summary"]) == ("tiny-made", "")
    known = server.client.get("/models/known-made").json()
    assert len(known["reference_scores"]) == 64
    assert known["reference_scores"] == sorted(known["reference_scores"])


def test_one_model_shows_its_manifest(server: Server) -> None:
    told = server.client.get("/models/tiny-made", params={"version": 1}).json()
    assert told["manifest"]["hyperparameters"] == TINY["tiny-made"]["hyperparameters"]
    for path in ("/models/nothing", "/models/tiny-made?version=2", "/models/..%2F.."):
        answer = server.client.get(path)
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
    assert server.client.get("/models/tiny-made?version=x").status_code == 422


def test_unload_and_load(server: Server) -> None:
    sample = {"model": "known-made", "seed": 1}
    before = server.post("/sample", sample).json()
    assert server.client.post("/models/known-made/unload").json()["state"] == "unloaded"
    refused = server.post("/sample", sample)
    assert refused.status_code == 409
    assert refused.json()["errors"][0]["field"] == "model"
    assert server.client.get("/health/ready").status_code == 200  # it is no longer wanted
    assert server.client.post("/models/known-made/load").json()["state"] == "ready"
    assert server.client.post("/models/known-made/load").json()["state"] == "ready"
    after = server.post("/sample", sample).json()
    assert after["items"] == before["items"]
    assert after["fingerprint"] == before["fingerprint"]
    assert server.client.post("/models/nothing/load").status_code == 404


def test_workers_and_queues(server: Server) -> None:
    answer = server.client.get("/workers")
    assert answer.status_code == 200
    (worker,) = answer.json()["workers"]
    held = worker["models"]["tiny-made/1"]
    assert held["state"] == "ready"
    assert worker["slots_total"] == sum(m["slots_total"] for m in worker["models"].values())
    assert answer.json()["waiting"]["tiny-made/1"] == 0
