from __future__ import annotations

import json
import socket as sockets
import time
from typing import Any

import numpy as np
import pytest
from tests.api.server import Server, generate, receive, send
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

import ancestral
from ancestral.api.wire import Frame

LONG = {"model": "long-wavenet", "sites": 200_000, "condition": {"label": 1}}


@pytest.mark.parametrize("name", ["tiny-pixelcnn", "tiny-colour", "tiny-made", "tiny-wavenet"])
def test_values_and_scores_are_those_of_the_library(server: Server, store, name: str) -> None:
    model = ancestral.load(name, root=store)
    condition = {"label": 2} if model.conditions else None
    expected = model.sample(3, seed=11, condition=condition)
    with server.socket() as socket:
        found = generate(socket, model=name, count=3, seed=11, condition=condition, ref="mine")
    assert found.types == ["queued", "started", "done"]
    assert {message["ref"] for message in found.messages} == {"mine"}
    started, done = found.message("started"), found.message("done")
    assert started["fingerprint"] == model.fingerprint
    assert started["derived"] is True
    assert started["seed"] == 11
    for item in range(3):
        values = model.item_of(found.values(item).astype(np.int64))
        np.testing.assert_array_equal(values, expected.items[item])
        log_prob = pytest.approx(expected.log_prob[item], rel=1e-12)
        assert done["items"][item]["log_prob"] == log_prob
        assert done["items"][item]["bits_per_dim"] == pytest.approx(expected.bits_per_dim[item])
    assert done["sites_per_second"] == pytest.approx(done["sites"] / done["seconds"])


def test_an_order_that_is_not_raster_is_told(server: Server, store) -> None:
    with server.socket() as socket:
        started = generate(socket, model="tiny-made").message("started")
    assert started["order"] == "permutation"
    assert started["permutation"] == [4, 2, 0, 5, 1, 3]


def test_pcm16_is_what_the_wav_holds(server: Server) -> None:
    request = {"model": "tiny-wavenet", "seed": 3, "condition": {"label": 0}}
    with server.socket() as socket:
        found = generate(socket, **request, format="pcm16")
        wrong = generate(socket, model="tiny-made", format="pcm16")
    assert found.message("started")["dtype"] == "int16"
    wav = server.post("/sample", request, accept="audio/wav").content
    assert found.values(0).astype("<i2").tobytes() == wav[44:]
    assert wrong.message("error")["error"]["errors"][0]["field"] == "format"


def test_the_first_frame_comes_before_a_tenth_of_the_sites(server: Server) -> None:
    with server.held():
        with server.socket() as socket:
            send(socket, type="generate", **LONG)
            told = receive(socket, ("started",)).message("started")
            first = Frame.decode(socket.recv(timeout=240))  # type: ignore[arg-type]
            assert first.first_site + first.count <= told["sites"] / 10
        server.standstill()


def test_cancel_stops_the_work(server: Server) -> None:
    with server.held(), server.socket() as socket:
        send(socket, type="generate", **LONG, count=4)
        job = receive(socket, ("started",)).message("started")["job"]
        send(socket, type="cancel", job=job)
        assert receive(socket).types[-1] == "canceled"
        stopped = server.standstill()
        time.sleep(0.5)
        assert server.standstill() == stopped
        assert generate(socket, model="tiny-made").types[-1] == "done"


def test_a_paused_job_draws_nothing_until_it_goes_on(server: Server) -> None:
    with server.held() as let_go, server.socket() as socket:
        send(socket, type="generate", **LONG)
        job = receive(socket, ("started",)).message("started")["job"]

        def told() -> dict[str, Any]:
            found: dict[str, Any] = server.client.get(f"/jobs/{job}").json()
            return found

        send(socket, type="pause", job=job)
        assert receive(socket, ("paused",)).message("paused") == {"type": "paused", "job": job}
        assert told()["paused"] is True
        server.standstill()  # it has given its slot back
        assert generate(socket, model="tiny-made").types[-1] == "done"  # and told of all it drew
        now = told()["progress"]["sites_done"]
        assert generate(socket, model="tiny-made", count=50).types[-1] == "done"
        assert told()["progress"]["sites_done"] == now < LONG["sites"]
        let_go()
        send(socket, type="unpause", job=job)
        last = receive(socket, ("done",))
        assert last.types[-1] == "done"
        assert "unpaused" in last.types


@pytest.mark.parametrize("politely", [True, False])
def test_a_closed_socket_stops_the_work(server: Server, politely: bool) -> None:
    with server.held():
        with server.socket() as socket:
            send(socket, type="generate", **LONG)
            receive(socket, ("started",))
            if not politely:  # the peer vanishes without a closing handshake
                socket.socket.shutdown(sockets.SHUT_RDWR)
        server.standstill()


def test_several_jobs_on_one_socket(server: Server) -> None:
    with server.socket() as socket:
        for ref in "abc":
            send(socket, type="generate", model="tiny-gpt", seed=5, ref=ref)
        ended: dict[str, bytes] = {}
        streams: dict[int, str] = {}
        values: dict[int, bytes] = {}
        while len(ended) < 3:
            message = socket.recv(timeout=240)
            if isinstance(message, bytes):
                number = int.from_bytes(message[4:8], "little")
                values[number] = values.get(number, b"") + message[24:]
                continue
            told = json.loads(message)
            streams[told["stream"]] = told["ref"]
            if told["type"] == "done":
                ended[told["ref"]] = values[told["stream"]]
    assert sorted(streams.values()) == ["a", "b", "c"]
    assert len(set(ended.values())) == 1


def test_resume_goes_on_without_gap_or_overlap(server: Server) -> None:
    body = {"model": "tiny-gpt", "count": 2, "seed": 9}
    whole = server.client.put("/sample/resumed", json=body).json()
    with server.socket() as socket:
        send(socket, type="resume", job="resumed", next=[5, 16])
        found = receive(socket)
        assert found.frames[0].first_site == 5
        assert {frame.item for frame in found.frames} == {0}
        rest = np.array(whole["items"][0]["data"]).reshape(-1)[5:]
        np.testing.assert_array_equal(found.values(0)[:, 0], rest)
        send(socket, type="resume", job="resumed", next=[0])
        assert receive(socket).messages[-1]["error"]["errors"][0]["field"] == "next"
        send(socket, type="resume", job="unheard-of", next=[0])
        assert receive(socket).messages[-1]["error"]["status"] == 404


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ("{not json", "message"),
        ("[]", "message"),
        ("[" * 100_000, "message"),
        (b"\x01\x02\x03", "message"),
        ('{"type": "paint"}', "type"),
        ("{}", "type"),
        ('{"type": "generate"}', "model"),
        ('{"type": "generate", "model": "tiny-made", "colour": 1}', "colour"),
        ('{"type": "generate", "model": "tiny-made", "count": "two"}', "count"),
        ('{"type": "generate", "model": "tiny-made", "temperature": NaN}', "temperature"),
        ('{"type": "generate", "model": "no-such-model"}', "model"),
        (
            '{"type": "generate", "model": "tiny-pixelcnn", "condition": {"label": 3}}',
            "condition.label",
        ),
        ('{"type": "resume", "job": "x", "next": [-1]}', "next[0]"),
        ('{"type": "cancel"}', "job"),
    ],
)
def test_what_is_not_understood_gets_an_error_and_the_socket_lives(
    server: Server, message: str | bytes, field: str
) -> None:
    with server.socket() as socket:
        socket.send(message)
        found = receive(socket).messages[-1]
        assert found["type"] == "error"
        assert 400 <= found["error"]["status"] < 500
        assert found["error"]["errors"][0]["field"] == field
        assert generate(socket, model="tiny-made").types[-1] == "done"


def test_a_broken_frame_ends_its_socket_alone(server: Server) -> None:
    with server.socket() as well, server.socket() as ill:
        ill.socket.sendall(b"\xff\xff\xff\xff\xff\xff")  # reserved bits and an unknown opcode
        with pytest.raises(ConnectionClosed) as closed:
            ill.recv(timeout=240)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1002
        assert generate(well, model="tiny-made").types[-1] == "done"


def test_a_message_beyond_the_limit_closes_with_1009(server: Server) -> None:
    with server.socket() as socket:
        with pytest.raises(ConnectionClosed) as closed:  # noqa: PT012 - sending may fail as well
            socket.send("x" * (2**20 + 1))
            socket.recv(timeout=240)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009
    server.assert_alive()


def test_the_subprotocol_is_required(server: Server) -> None:
    with pytest.raises(InvalidStatus) as refused:
        connect(server.url.replace("http", "ws") + "/stream")
    assert refused.value.response.status_code == 400
    assert b"ancestral.v1" in (refused.value.response.body or b"")
    assert server.client.get("/stream").status_code in (404, 405, 426)


def test_a_slow_reader_holds_up_nobody_else(server: Server) -> None:
    with server.socket() as slow, server.socket() as quick:
        send(slow, type="generate", model="tiny-gpt", count=200, seed=1)
        found = generate(quick, model="tiny-made", count=2)
        assert found.types[-1] == "done"
        assert receive(slow).types[-1] == "done"


def test_its_health_is_told(server: Server) -> None:
    ready = server.client.get("/health/ready")
    assert ready.json() == {"status": "ready", "reasons": []}
