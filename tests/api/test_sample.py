from __future__ import annotations

import base64
import io
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import soundfile
from PIL import Image
from tests.api.server import Server, generate

import ancestral
from ancestral.engine.recordings import read_condition

WAVE = {"model": "tiny-wavenet", "seed": 3, "condition": {"label": 1}}
GREY = {"model": "tiny-gpt", "seed": 3}


def test_json_is_what_the_library_draws(server: Server, store: Path) -> None:
    model = ancestral.load("tiny-pixelcnn", root=store)
    body = {"model": "tiny-pixelcnn", "count": 3, "seed": 8, "condition": {"label": [0, 1, 2]}}
    answer = server.post("/sample", {**body, "temperature": 0.7, "top_k": 3})
    expected = model.sample(3, seed=8, condition={"label": [0, 1, 2]}, temperature=0.7, top_k=3)
    told = answer.json()
    np.testing.assert_array_equal([item["data"] for item in told["items"]], expected.items)
    np.testing.assert_allclose(
        [item["log_prob"] for item in told["items"]], expected.log_prob, rtol=1e-12
    )
    assert told["fingerprint"] == answer.headers["X-Ancestral-Fingerprint"] == model.fingerprint
    assert told["derived"] is True


def test_a_score_of_a_sample_is_its_own(server: Server) -> None:
    drawn = server.post("/sample", WAVE).json()
    item = drawn["items"][0]
    scored = server.post(
        "/log_prob",
        {"model": WAVE["model"], "inputs": [item["data"]], "condition": WAVE["condition"]},
    ).json()
    assert scored["results"][0]["log_prob"] == pytest.approx(item["log_prob"], rel=1e-5)


def test_a_series_comes_as_numbers_or_as_a_file(server: Server, store: Path) -> None:
    buffer = io.BytesIO()
    sound = 0.5 * np.sin(np.arange(50) / 3)
    soundfile.write(buffer, sound, 1000, format="WAV", subtype="PCM_16")
    model = ancestral.load("tiny-wavernn", root=store)
    frames, _ = read_condition(buffer.getvalue(), "mel", model.manifest)
    expected = model.sample(2, seed=8, condition={"mel": frames})
    file = {"data": base64.b64encode(buffer.getvalue()).decode(), "content_type": "audio/wav"}
    for mel in (frames.tolist(), file, [file, file]):
        body = {"model": "tiny-wavernn", "count": 2, "seed": 8, "condition": {"mel": mel}}
        drawn = server.post("/sample", body).json()["items"]
        np.testing.assert_array_equal([item["data"] for item in drawn], expected.items)
        inputs = [item["data"][:50] for item in drawn]  # the last frame reaches beyond
        asked = {"model": "tiny-wavernn", "inputs": inputs, "condition": {"mel": mel}}
        scored = server.post("/log_prob", asked).json()["results"]
        own = model.log_prob(list(expected.items[:, :50]), {"mel": frames})
        assert [r["log_prob"] for r in scored] == pytest.approx([s.log_prob for s in own], rel=1e-5)
    for bad in ({"data": "?"}, {"file": "a.wav"}, {"data": base64.b64encode(b"RIFF").decode()}, 3):
        refused = server.post("/sample", {"model": "tiny-wavernn", "condition": {"mel": bad}})
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["field"].startswith("condition.mel")


def test_fit_resamples_a_condition_and_says_so(server: Server, store: Path) -> None:
    """In an answer, over a socket and in a score; without it, the refusal offers it."""
    buffer = io.BytesIO()
    sound = 0.5 * np.sin(2 * np.pi * 50 * np.arange(2400) / 8000)
    soundfile.write(buffer, sound, 8000, format="WAV", subtype="PCM_16")
    file = {"data": base64.b64encode(buffer.getvalue()).decode()}
    body = {"model": "tiny-wavernn", "seed": 8, "condition": {"mel": file}}
    refused = server.post("/sample", body)
    assert refused.status_code == 422
    (error,) = refused.json()["errors"]
    assert error["field"] == "condition.mel"
    assert '"fit": true resamples it' in error["message"]
    body["fit"] = True
    answer = server.post("/sample", body).json()
    steps = ["mel: resampled 8000 Hz to 1000 Hz"]
    assert answer["notes"] == steps
    model = ancestral.load("tiny-wavernn", root=store)
    frames, _ = read_condition(buffer.getvalue(), "mel", model.manifest, fit=True)
    codes = model.sample(1, seed=8, condition={"mel": frames}).items[0]
    assert answer["items"][0]["data"] == codes.tolist()
    with server.socket() as stream:
        told = generate(stream, **body)
    assert told.message("started")["notes"] == steps
    np.testing.assert_array_equal(told.values(0)[:, 0], codes)
    inputs = [codes.tolist()] * 2
    asked = {"model": "tiny-wavernn", "inputs": inputs, "fit": True}
    each = {"mel": [file, file]}
    scores = server.post("/log_prob", {**asked, "condition": each}).json()["results"]
    (own,) = model.log_prob([codes], {"mel": frames})
    assert [score["fit"] for score in scores] == [steps, steps]
    assert scores[1]["log_prob"] == pytest.approx(own.log_prob, rel=1e-5)


def test_items_are_numbered_from_first_item(server: Server) -> None:
    all_of = server.post("/sample", {**GREY, "count": 3}).json()["items"]
    third = server.post("/sample", {**GREY, "first_item": 2}).json()["items"]
    assert third[0]["data"] == all_of[2]["data"]


def test_an_omitted_seed_is_drawn_and_returned(server: Server) -> None:
    body = {"model": "tiny-gpt"}
    first, second = server.post("/sample", body).json(), server.post("/sample", body).json()
    assert first["seed"] != second["seed"]
    again = server.post("/sample", {**body, "seed": first["seed"]}).json()
    assert again["items"][0]["data"] == first["items"][0]["data"]
    large = server.post("/sample", {**body, "seed": str(2**64 - 1)}).json()
    assert large["seed"] == str(2**64 - 1)


def test_png_is_a_grid(server: Server) -> None:
    answer = server.post("/sample", {**GREY, "count": 4}, accept="image/png")
    assert answer.headers["content-type"] == "image/png"
    codes = np.array(
        [i["data"] for i in server.post("/sample", {**GREY, "count": 4}).json()["items"]]
    )
    with Image.open(io.BytesIO(answer.content)) as image:
        pixels = np.asarray(image)
    assert pixels.shape == (10, 10)
    np.testing.assert_array_equal(pixels[:4, :4], codes[0, 0] * 255)
    np.testing.assert_array_equal(pixels[6:, 6:], codes[3, 0] * 255)


def test_npy_holds_the_codes(server: Server) -> None:
    answer = server.post("/sample", {**GREY, "count": 2}, accept="application/x-npy")
    array = np.load(io.BytesIO(answer.content))
    assert (array.shape, array.dtype) == ((2, 1, 4, 4), np.uint8)
    expected = [
        item["data"] for item in server.post("/sample", {**GREY, "count": 2}).json()["items"]
    ]
    np.testing.assert_array_equal(array, expected)


def test_wav_is_read_by_others(server: Server) -> None:
    answer = server.post("/sample", {**WAVE, "seconds": 0.05}, accept="audio/wav")
    samples, rate = soundfile.read(io.BytesIO(answer.content))
    assert (rate, samples.shape) == (1000, (50,))
    pcm = server.post("/sample", {**WAVE, "seconds": 0.05}, accept="audio/pcm")
    assert pcm.headers["content-type"] == "audio/pcm;rate=1000;encoding=s16le;channels=1"
    assert pcm.content == answer.content[44:]
    npy = server.post("/sample", {**WAVE, "seconds": 0.05}, accept="application/x-npy")
    codes = np.load(io.BytesIO(npy.content))[0]
    y = 2 * codes / 15 - 1  # mu-law with mu = 15 over 16 levels
    expected = np.sign(y) * (16 ** np.abs(y) - 1) / 15
    np.testing.assert_allclose(samples, expected, atol=1 / 32768)


def test_wav_plays_while_it_is_drawn(server: Server) -> None:
    body = {"model": "long-wavenet", "sites": 200_000, "condition": {"label": 0}}
    headers = {"accept": "audio/wav"}
    with server.held():
        with server.client.stream("POST", "/sample", json=body, headers=headers) as answer:
            assert answer.headers["transfer-encoding"] == "chunked"
            got = b""
            for part in answer.iter_raw():
                got += part
                if len(got) > 44:
                    break
            assert int.from_bytes(got[40:44], "little") == 2 * 200_000  # the true size, up front
            assert len(got) < 200_000  # half of the sound at most, as the first part of it
        server.standstill()  # hanging up ended the job


@contextmanager
def unanswered(server: Server, method: str, path: str, body: Any) -> Iterator[None]:
    """A request whose answer nobody waits for: its client is gone with the block."""
    where, content = urlsplit(server.url), json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(content)}\r\n\r\n"
    with socket.create_connection((where.hostname, where.port), timeout=240) as connection:
        connection.sendall(head.encode() + content)
        yield


def test_hanging_up_ends_a_job_that_has_not_answered(server: Server) -> None:
    body = {"model": "long-wavenet", "sites": 200_000, "count": 64, "condition": {"label": 0}}
    with server.held():
        with unanswered(server, "POST", "/sample", body):
            server.until(lambda: server.slots_in_use() > 0)
        server.standstill()


def test_the_accept_header_chooses(server: Server) -> None:
    accept = "text/html, image/png;q=0.8, application/json;q=0.5"
    assert server.post("/sample", GREY, accept=accept).headers["content-type"] == "image/png"
    assert server.post("/sample", GREY, accept="*/*").headers["content-type"] == "application/json"
    refused = server.post("/sample", GREY, accept="audio/wav")
    assert refused.status_code == 406
    assert "image/png" in refused.json()["detail"]


def events_of(text: str) -> list[tuple[str, str, dict[str, Any]]]:
    """(id, event, data) of a stream of server-sent events."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(
            line.split(": ", 1) for line in block.splitlines() if not line.startswith(":")
        )
        if fields:
            found.append((fields.get("id", ""), fields["event"], json.loads(fields["data"])))
    return found


def test_events(server: Server) -> None:
    answer = server.post("/sample", {**WAVE, "count": 2}, accept="text/event-stream")
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = events_of(answer.text)
    kinds = [kind for _, kind, _ in events]
    assert (kinds[0], kinds[-1]) == ("started", "done")
    assert {"started", "output", "done"} <= set(kinds) <= {"started", "output", "progress", "done"}
    values: dict[int, list[int]] = {}
    for _, kind, data in events:
        if kind == "output":
            assert data["first_site"] == len(values.setdefault(data["item"], []))
            values[data["item"]] += data["values"]
    plain = server.post("/sample", {**WAVE, "count": 2}).json()
    assert [values[0], values[1]] == [item["data"] for item in plain["items"]]


def test_prefix_and_known_values_are_kept(server: Server) -> None:
    prefix = [1, 0, 1]
    item = server.post("/sample", {**GREY, "prefix": prefix}).json()["items"][0]
    assert np.array(item["data"]).reshape(-1)[:3].tolist() == prefix
    assert item["sampled_log_prob"] > item["log_prob"]
    known: list[list[int | None]] = [[None] * 4 for _ in range(4)]
    known[2][1] = 1
    answer = server.post("/sample", {**GREY, "known": [known]}).json()
    assert answer["items"][0]["data"][0][2][1] == 1
    assert "do not influence" in answer["notes"][0]


def test_put_is_idempotent(server: Server) -> None:
    body = {"model": "tiny-gpt"}
    first = server.client.put("/sample/mine", json=body)
    second = server.client.put("/sample/mine", json=body)
    assert first.json() == second.json()
    other = server.client.put("/sample/mine", json={**body, "count": 2})
    assert other.status_code == 409
    assert other.json()["errors"][0]["field"] == "id"
    assert server.client.put("/sample/no spaces", json=body).status_code == 422


def test_a_put_goes_on_without_its_reader(server: Server) -> None:
    body = {"model": "long-wavenet", "sites": 200_000, "condition": {"label": 0}, "seed": 1}
    with server.held():
        with unanswered(server, "PUT", "/sample/patient", body):
            server.until(lambda: server.slots_in_use() > 0)

        def drawn() -> int:
            told = server.client.get("/jobs/patient").json()
            return int(told["progress"].get("sites_done", 0))

        before = drawn()
        server.until(lambda: drawn() > before)
    answer = server.client.put("/sample/patient", json=body)
    assert len(answer.json()["items"][0]["data"]) == 200_000


def test_respond_async(server: Server) -> None:
    answer = server.post("/sample", GREY, prefer="respond-async")
    assert answer.status_code == 202
    where = answer.headers["location"]
    end = time.monotonic() + 240
    while "items" not in (told := server.client.get(where).json()):
        assert told["state"] in ("queued", "running")
        assert time.monotonic() < end
        time.sleep(0.02)
    assert told["items"][0]["data"] == server.post("/sample", GREY).json()["items"][0]["data"]


def test_a_deadline_passes_in_the_queue(server: Server) -> None:
    long = {"model": "long-wavenet", "sites": 200_000, "condition": {"label": 0}}
    with server.held():
        # one job alone leaves slots to others
        busy = [
            server.post("/sample", {**long, "count": count}, prefer="respond-async").json()["id"]
            for count in (64, *[1] * 8)
        ]
        try:
            about = "/models/long-wavenet"
            server.until(lambda: server.client.get(about).json()["slots_in_use"] == 32)
            late = {"model": "long-wavenet", "sites": 5, "condition": {"label": 0}}
            answer = server.post("/sample", {**late, "timeout_seconds": 0.2})
            assert answer.status_code == 504
        finally:
            for job in busy:
                server.client.delete(f"/jobs/{job}")
        server.standstill()
