"""Every malformed request gets a 4xx problem document that names the field; the server goes on."""

from __future__ import annotations

import base64
import io
import json
import socket
import struct
import zlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from PIL import Image
from tests.api.server import Server
from tests.api.test_log_prob import CODES, npy, png, wav

GREY = {"model": "tiny-gpt"}
MADE = {"model": "tiny-made"}
WAVE = {"model": "tiny-wavenet", "condition": {"label": 0}}


@pytest.fixture(autouse=True)
def server_goes_on(server: Server) -> Iterator[None]:
    yield
    server.assert_alive()


def refused(answer: httpx.Response, field: str, status: int = 422) -> dict[str, Any]:
    """The problem document of a refusal, after checking what every one of them holds."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["type"].startswith("urn:ancestral:problem:")
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert problem["instance"] == answer.request.url.path
    fields = [error["field"] for error in problem["errors"]]
    assert field in fields, problem
    return dict(problem)


def in_json(content: bytes, kind: str | None = None) -> dict[str, Any]:
    return {"data": base64.b64encode(content).decode(), "content_type": kind}


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def bomb(side: int = 60_000) -> bytes:
    """A PNG of a few hundred kilobytes that would decode to gigabytes."""
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(50_000_000), 9)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


def lying_wav() -> bytes:
    sound = bytearray(wav())
    sound[40:44] = struct.pack("<I", 2**31)  # the data chunk's size
    return bytes(sound)


@pytest.mark.parametrize(
    ("request_", "field", "status"),
    [
        ({**GREY, "model": "no-such-model"}, "model", 404),
        ({**GREY, "model": "../../etc/passwd"}, "model", 404),
        ({**GREY, "model": "tiny-gpt/7"}, "model", 404),
        ({**GREY, "model": "tiny-gpt/" + "9" * 100}, "model", 404),
        ({**GREY, "model": "a" * 128}, "model", 404),
        ({**GREY, "model": "a" * 129}, "model", 422),
        ({**GREY, "model": 3}, "model", 422),
        ({}, "model", 422),
        ({**GREY, "count": 0}, "count", 422),
        ({**GREY, "count": 100_000}, "count", 422),
        ({**GREY, "count": 1.5}, "count", 422),
        ({**GREY, "seed": -1}, "seed", 422),
        ({**GREY, "seed": 2**53}, "seed", 422),
        ({**GREY, "first_item": 2**32 - 1, "count": 2}, "first_item", 422),
        ({**GREY, "temperature": -1}, "temperature", 422),
        ({**GREY, "temperature": "hot"}, "temperature", 422),
        ({**GREY, "top_p": 0}, "top_p", 422),
        ({**GREY, "colour": "red"}, "colour", 422),
        ({**GREY, "condition": {"label": 1}}, "condition.label", 422),
        ({**GREY, "condition": [1]}, "condition", 422),
        ({**GREY, "sites": 5}, "sites", 422),
        ({**GREY, "prefix": [0] * 17}, "prefix", 422),
        ({**GREY, "prefix": [2]}, "prefix", 422),
        ({**GREY, "prefix": ["a"]}, "prefix", 422),
        ({**GREY, "prefix": [10**400]}, "prefix", 422),
        ({**GREY, "known": [10**400]}, "known", 422),
        ({"model": "tiny-wavernn", "condition": {"mel": [[10**400]] * 3}}, "condition.mel", 422),
        ({**GREY, "prefix": [[1, 1]]}, "prefix", 422),
        ({**GREY, "known": [[[0, 1]]]}, "known", 422),
        ({**GREY, "known": CODES, "prefix": [1]}, "prefix", 422),
        ({**WAVE, "condition": {}}, "condition.label", 422),
        ({**WAVE, "condition": {"label": 3}}, "condition.label", 422),
        ({**WAVE, "condition": {"label": -1}}, "condition.label", 422),
        ({**WAVE, "condition": {"label": "one"}}, "condition.label", 422),
        ({**WAVE, "condition": {"label": [0, 1]}}, "condition.label", 422),
        ({**WAVE, "sites": 101}, "sites", 422),
        ({**WAVE, "seconds": -1}, "seconds", 422),
        ({**WAVE, "seconds": 1e307}, "seconds", 422),
        ({**WAVE, "seconds": 0.01, "sites": 3}, "seconds", 422),
        ({**WAVE, "priority": 0}, "priority", 422),
        ({**WAVE, "timeout_seconds": 0}, "timeout_seconds", 422),
    ],
)
def test_sampling(server: Server, request_: dict[str, Any], field: str, status: int) -> None:
    refused(server.post("/sample", request_), field, status)


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({**MADE, "inputs": []}, "inputs"),
        ({**MADE}, "inputs"),
        ({**MADE, "inputs": [[]]}, "inputs[0]"),
        ({**MADE, "inputs": ["x"]}, "inputs[0]"),
        ({**MADE, "inputs": [[0, 1, 0]]}, "inputs[0]"),
        ({**MADE, "inputs": [[0, 1, 0, 1, 0, 2]]}, "inputs[0]"),
        ({**MADE, "inputs": [[0, 1, 0, 1, 0, 0.5]]}, "inputs[0]"),
        ({**MADE, "inputs": [[0, 1, 0, 1, 0, True]]}, "inputs[0]"),
        ({**MADE, "inputs": [[0, 1, 0, 1, 0, None]]}, "inputs[0]"),
        ({**MADE, "inputs": [[0, [1], 0, 1, 0, 1]]}, "inputs[0]"),
        ({**MADE, "inputs": [[0, 1, 0, 1, 0, 1]] * 300}, "inputs"),
        ({**MADE, "inputs": [[0] * 6], "return": ["colour"]}, "return[0]"),
        ({**MADE, "inputs": [[0] * 6], "return": []}, "return"),
        ({**MADE, "inputs": [[0] * 6], "condition": {"mood": 1}}, "condition.mood"),
        ({**GREY, "inputs": [in_json(png()[:-30])]}, "inputs[0].data"),
        ({**GREY, "inputs": [in_json(png(), "audio/wav")]}, "inputs[0].data"),
        ({**GREY, "inputs": [in_json(wav())]}, "inputs[0].data"),
        ({**GREY, "inputs": [in_json(npy(np.full((1, 4, 4), np.nan)))]}, "inputs[0].data"),
        ({**GREY, "inputs": [in_json(npy(np.zeros((1, 4, 5), int)))]}, "inputs[0].data"),
        ({**GREY, "inputs": [in_json(npy(np.array(["a"])))]}, "inputs[0].data"),
        ({**GREY, "inputs": [{"data": "%%%"}]}, "inputs[0].data"),
        ({**GREY, "inputs": [{"content": "x"}]}, "inputs[0].data"),
        ({**WAVE, "inputs": [in_json(wav(rate=8000))]}, "inputs[0].data"),
        ({**WAVE, "inputs": [in_json(lying_wav())]}, "inputs[0].data"),
        ({**WAVE, "inputs": [[3] * 101]}, "inputs[0]"),
        ({**WAVE, "inputs": [[16]]}, "inputs[0]"),
        ({**WAVE, "inputs": [[1]], "condition": {"label": 9}}, "condition.label"),
    ],
)
def test_scoring(server: Server, request_: dict[str, Any], field: str) -> None:
    refused(server.post("/log_prob", request_), field)


def test_a_decompression_bomb(server: Server) -> None:
    body = bomb()
    assert len(body) < 2**20
    for fit in (False, True):
        answer = server.client.post(
            "/log_prob",
            params={**GREY, "fit": str(fit).lower()},
            content=body,
            headers={"content-type": "image/png"},
        )
        refused(answer, "body")


def test_a_mismatch_names_both_shapes(server: Server) -> None:
    problem = refused(server.post("/log_prob", {**MADE, "inputs": [[0, 1]]}), "inputs[0]")
    assert "[2]" in problem["detail"]
    assert "[6]" in problem["detail"]


def test_nan_in_json(server: Server) -> None:
    for path, text in {
        "/log_prob": '{"model": "tiny-made", "inputs": [[0, 1, 0, 1, 0, NaN]]}',
        "/sample": '{"model": "tiny-made", "temperature": NaN}',
    }.items():
        answer = server.client.post(
            path, content=text, headers={"content-type": "application/json"}
        )
        refused(answer, "inputs[0]" if path == "/log_prob" else "temperature")


@pytest.mark.parametrize("path", ["/log_prob", "/sample"])
@pytest.mark.parametrize(
    "body", [b"{", b"\xff\xfe", b"", b"[" * 200_000, b'{"model": ' + b"9" * 5000 + b"}"]
)
def test_what_is_no_json(server: Server, path: str, body: bytes) -> None:
    answer = server.client.post(path, content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"


def test_other_media(server: Server) -> None:
    headers = {"content-type": "text/csv"}
    answer = server.client.post("/log_prob", content=b"1,2", headers=headers)
    refused(answer, "Content-Type", 415)
    answer = server.client.post("/log_prob", data=GREY, files={"file": ("", b"")})
    assert answer.status_code == 422
    answer = server.client.post(
        "/log_prob", data={**GREY, "condition": "{"}, files={"f": ("x", png(), "image/png")}
    )
    refused(answer, "condition")
    torn = b"--x\r\nContent-Disposition: form-data"
    headers = {"content-type": "multipart/form-data; boundary=x"}
    assert server.client.post("/log_prob", content=torn, headers=headers).status_code in (400, 422)


def raw(server: Server, request: bytes) -> bytes:
    """What the server says to these bytes, sent over a socket of their own."""
    where = urlsplit(server.url)
    with socket.create_connection((where.hostname, where.port), timeout=240) as connection:
        connection.sendall(request)
        found = b""
        while part := connection.recv(65536):
            found += part
        return found


def test_a_body_of_a_gigabyte_is_refused_before_it_is_read(server: Server) -> None:
    head = (
        b"POST /log_prob HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 1073741824\r\n\r\n"
    )
    answer = raw(server, head)  # not a byte of the body is sent
    assert answer.startswith(b"HTTP/1.1 413")
    problem = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert problem["errors"][0]["field"] == "body"


@pytest.mark.parametrize("path", ["/log_prob", "/sample"])
def test_a_body_that_grows_beyond_the_limit(server: Server, path: str) -> None:
    def body() -> Iterator[bytes]:
        for _ in range(20):
            yield b"x" * 65536

    try:
        answer = server.client.post(
            path, content=body(), headers={"content-type": "application/json"}
        )
    except httpx.TransportError:
        return  # the server closed the connection while we were sending
    assert answer.status_code == 413


def test_nothing_is_lost_of_other_requests(server: Server) -> None:
    """A stream that was started before goes on, bit for bit, while all this arrives."""
    body = {"model": "long-wavenet", "sites": 800, "seed": 5, "condition": {"label": 0}}
    headers = {"accept": "audio/pcm"}
    with (
        server.held() as let_go,
        server.client.stream("POST", "/sample", json=body, headers=headers) as got,
    ):
        parts = got.iter_raw()
        first = next(parts)
        for bad in ({**GREY, "count": 0}, {**WAVE, "condition": {"label": 3}}, {"model": "x"}):
            answer = httpx.post(f"{server.url}/sample", json=bad, timeout=240)
            assert answer.status_code in (404, 422)
        let_go()
        sound = first + b"".join(parts)
    again = server.post("/sample", body, accept="audio/pcm")
    assert sound == again.content


def test_an_image_that_is_not_the_models_is_not_resized(server: Server) -> None:
    buffer = io.BytesIO()
    Image.new("RGBA", (4, 4)).save(buffer, "PNG")
    refused(
        server.post("/log_prob", {**GREY, "inputs": [in_json(buffer.getvalue())]}), "inputs[0].data"
    )
