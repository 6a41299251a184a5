from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from tests.api.server import Server
from tests.api.test_sample import events_of

LONG = {"model": "long-wavenet", "sites": 200_000, "count": 32, "condition": {"label": 1}}


def test_a_running_job_and_its_end(server: Server) -> None:
    with server.held():
        job = server.post("/sample", LONG, prefer="respond-async").json()["id"]
        with server.client.stream("GET", f"/jobs/{job}/events") as stream:
            for line in stream.iter_lines():
                if line == "event: output":
                    break
        told = server.client.get(f"/jobs/{job}").json()
        kind = (told["state"], told["kind"], told["model"])
        assert kind == ("running", "sample", "long-wavenet/1")
        assert 0 < told["progress"]["sites_done"] < told["progress"]["sites"] == 32 * 200_000
        assert server.client.delete(f"/jobs/{job}").json()["cancel_requested"] is True
        events = events_of(server.client.get(f"/jobs/{job}/events").text)  # to the last one
        assert [kind for _, kind, _ in events][-1] == "canceled"
        server.standstill()
    ended = server.client.get(f"/jobs/{job}").json()
    assert ended["state"] == "canceled"
    assert server.client.delete(f"/jobs/{job}").status_code == 200


def test_a_job_is_paused_over_http(server: Server) -> None:
    with server.held():
        job = server.post("/sample", {**LONG, "seed": 3}, prefer="respond-async").json()["id"]
        assert server.client.post(f"/jobs/{job}/pause").json()["paused"] is True
        assert server.client.post(f"/jobs/{job}/unpause").json()["paused"] is False
        server.client.delete(f"/jobs/{job}")
    assert server.client.post("/jobs/nobody/pause").status_code == 404
    body = {"model": "tiny-made", "inputs": [[0, 1, 0, 1, 0, 1]]}
    scored = server.post("/log_prob", body, prefer="respond-async").json()["id"]
    assert server.client.post(f"/jobs/{scored}/pause").status_code == 422


def test_events_resume_after_the_last_one_seen(server: Server) -> None:
    body = {"model": "tiny-gpt", "seed": 1}
    server.client.put("/sample/evented", json=body)
    events = events_of(server.client.get("/jobs/evented/events").text)
    plain = [(cursor, kind) for cursor, kind, _ in events if kind != "progress"]
    for index, (cursor, _) in enumerate(plain):
        headers = {"Last-Event-ID": cursor}
        rest = events_of(server.client.get("/jobs/evented/events", headers=headers).text)
        assert [(c, k) for c, k, _ in rest if k != "progress"] == plain[index + 1 :]
    bad = server.client.get("/jobs/evented/events", headers={"Last-Event-ID": "yesterday"})
    assert bad.status_code == 400


def test_a_finished_job_answers_as_its_request_would_have(server: Server) -> None:
    body = {"model": "tiny-gpt", "seed": 1, "count": 2}
    answer = server.client.put("/sample/finished", json=body)
    assert server.client.get("/jobs/finished").json() == answer.json()
    png = server.client.get("/jobs/finished", headers={"accept": "image/png"})
    with Image.open(io.BytesIO(png.content)) as image:
        assert image.size == (10, 4)
    npy = server.client.get("/jobs/finished", headers={"accept": "application/x-npy"})
    codes = [item["data"] for item in answer.json()["items"]]
    np.testing.assert_array_equal(np.load(io.BytesIO(npy.content)), codes)


def test_a_scoring_job_can_be_asked_for_later(server: Server) -> None:
    body = {"model": "tiny-made", "inputs": [[0, 1, 0, 1, 0, 1]]}
    answer = server.post("/log_prob", body, prefer="respond-async")
    assert answer.status_code == 202
    job = answer.headers["location"]
    events_of(server.client.get(f"{job}/events").text)  # until it is done
    direct = server.post("/log_prob", body).json()
    assert server.client.get(job).json()["results"] == direct["results"]


@pytest.mark.parametrize("path", ["/jobs/unheard-of", "/jobs/unheard-of/events"])
def test_an_unknown_job(server: Server, path: str) -> None:
    answer = server.client.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert server.client.delete("/jobs/unheard-of").status_code == 404


def test_a_result_is_there_once_the_job_is_done(server: Server) -> None:
    with server.held():
        job = server.post("/sample", LONG, prefer="respond-async").json()["id"]
        early = server.client.get(f"/jobs/{job}/result")
        assert early.status_code == 409
        server.client.delete(f"/jobs/{job}")
        canceled = server.client.get(f"/jobs/{job}/result")
    assert (canceled.status_code, canceled.json()["title"]) in [
        (409, "Canceled"),
        (409, "Conflict"),
    ]
    made = {"model": "tiny-made", "seed": 3}
    done = server.post("/sample", made).json()
    for _ in range(2):  # as often as it is asked for
        assert server.client.get(f"/jobs/{done['job']}/result").json() == done
    png = {"accept": "application/x-npy"}
    assert server.client.get(f"/jobs/{done['job']}/result", headers=png).content[:6] == b"\x93NUMPY"
    assert server.client.get("/jobs/nobody/result").status_code == 404
