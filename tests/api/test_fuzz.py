"""Broken requests: never a 5xx, never a hang, and the next good one is served as ever."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.api.server import Server, generate, send
from tests.api.test_log_prob import npy, png, wav
from tests.media.test_fuzz import FILES
from tests.mutations import JSON, broken_bytes, broken_json
from websockets.exceptions import ConnectionClosed

MADE = {"model": "tiny-made", "inputs": [[0, 1, 0, 1, 0, 1]], "return": ["log_prob", "per_dim"]}
WAVE = {"model": "tiny-wavenet", "inputs": [[1, 2, 3]], "condition": {"label": [0]}}
FILE = {"model": "tiny-gpt", "inputs": [{"data": "iVBORw0KGgo=", "content_type": "image/png"}]}
DRAWN = [
    {"model": "tiny-made", "count": 2, "seed": "7", "prefix": [0, 1], "temperature": 0.5},
    {"model": "tiny-wavenet", "condition": {"label": 1}, "seconds": 0.01, "top_k": 3, "top_p": 0.9},
    {"model": "tiny-gpt", "known": [[[0, 1, None, None]] * 4], "priority": 1, "first_item": 3},
    {"model": "tiny-char-rnn", "prefix": "ab", "sites": 5, "timeout_seconds": 20},
    {"model": "tiny-wavernn", "condition": {"mel": [[0.0, 1.0]] * 3}, "seed": 1},
]
TENSORS = {
    "id": "x",
    "parameters": {"marginal": False, "priority": 2, "timeout": 10**7},
    "inputs": [{"name": "x", "shape": [1, 6], "datatype": "UINT8", "data": [0, 1, 0, 1, 0, 1]}],
    "outputs": [{"name": "per_dim", "parameters": {"binary_data": True}}],
}
ASKED: dict[str, list[Any]] = {
    "/log_prob": [MADE, WAVE, FILE],
    "/embed": [{"model": "tiny-gpt", "inputs": [[[[0, 1, 1, 0]] * 4]], "layer": 1}],
    "/sample": DRAWN,
    "/v2/models/tiny-made/infer": [TENSORS],
    "/batches": [{"custom_id": "a", "url": "/sample", "body": DRAWN[0]}],
}
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "accept": st.sampled_from(
            ["text/event-stream", "image/png", "audio/wav", "application/x-npy", "*/*;q=nan", ","]
        ),
        "last-event-id": st.sampled_from(["x", "-1", "9" * 30, "1-0", "²"]),
        "prefer": st.sampled_from(["respond-async", ";;", "respond-async;x"]),
        "idempotency-key": st.text("ab", max_size=3),
    },
)
few = settings(max_examples=25, suppress_health_check=list(HealthCheck))
many = settings(max_examples=500, suppress_health_check=list(HealthCheck))
WAIT = httpx.Timeout(240)  # a busy machine's; beyond it is a hang


@pytest.fixture(autouse=True)
def server_goes_on(server: Server) -> Iterator[None]:
    yield
    server.assert_alive()
    server.until(lambda: server.metric("ancestral_websockets_open") == 0)


def sound(answer: httpx.Response) -> None:
    """What every answer must be, whatever was asked."""
    assert answer.status_code < 500 or answer.status_code == 504, answer.text
    kind = answer.headers.get("content-type", "")
    if answer.status_code >= 400:
        assert kind in ("application/problem+json", "application/json"), kind
        answer.json()
    if kind == "application/jsonl":
        for line in answer.text.splitlines():
            assert json.loads(line)["response"]["status_code"] < 500, line


def ask(server: Server, path: str, document: Any, headers: dict[str, str]) -> None:
    body = json.dumps(document).encode(errors="surrogatepass")
    kind = {"content-type": "application/json"}
    sound(
        server.client.post(
            path, content=body, headers=kind | {k: v.encode() for k, v in headers.items()},
            timeout=WAIT,
        )
    )  # fmt: skip


def upload(server: Server, body: bytes, model: str, kind: str, fit: bool) -> None:
    sound(
        server.client.post(
            "/log_prob",
            params={"model": model, "fit": str(fit).lower(), "marginal": "true"},
            content=body,
            headers={"content-type": kind},
            timeout=WAIT,
        )
    )


Case = Callable[..., None]


def documents(test: Case) -> Case:
    asked = st.sampled_from([(path, good) for path, goods in ASKED.items() for good in goods])
    cases = asked.flatmap(
        lambda found: st.tuples(st.just(found[0]), broken_json(st.just(found[1])))
    )
    return given(case=cases, headers=HEADERS)(test)


@few
@documents
def test_documents(server: Server, case: tuple[str, Any], headers: dict[str, str]) -> None:
    ask(server, *case, headers)


@pytest.mark.slow
@many
@documents
def test_many_documents(server: Server, case: tuple[str, Any], headers: dict[str, str]) -> None:
    ask(server, *case, headers)


FILE_TYPES = st.sampled_from(["image/png", "audio/wav", "application/x-npy", ""])
MODELS = st.sampled_from(["tiny-gpt", "tiny-wavenet", "tiny-made", "tiny-char-rnn"])
files = given(
    body=broken_bytes(FILES | st.sampled_from([png(), wav(), npy([[0, 1], [1, 0]])])),
    model=MODELS,
    kind=FILE_TYPES,
    fit=st.booleans(),
)


@few
@files
def test_files(server: Server, body: bytes, model: str, kind: str, fit: bool) -> None:
    upload(server, body, model, kind, fit)


@pytest.mark.slow
@many
@files
def test_many_files(server: Server, body: bytes, model: str, kind: str, fit: bool) -> None:
    upload(server, body, model, kind, fit)


FORM = (
    b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\ntiny-gpt\r\n'
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n'
    b"Content-Type: image/png\r\n\r\n" + png() + b"\r\n--x--\r\n"
)
INFER = (
    b'{"inputs":[{"name":"x","shape":[1,6],"datatype":"UINT8",'
    b'"parameters":{"binary_data_size":6}}]}' + bytes(6)
)
PATHS = st.sampled_from(
    ["/models/{}", "/jobs/{}", "/jobs/{}/events", "/v2/models/{}", "/models/{}/load", "/{}"]
)


@few
@given(broken_bytes(st.just(FORM)))
def test_forms(server: Server, body: bytes) -> None:
    kind = {"content-type": "multipart/form-data; boundary=x"}
    sound(server.client.post("/log_prob", content=body, headers=kind, timeout=WAIT))


@few
@given(broken_bytes(st.just(INFER)), st.sampled_from(["94", "93", "0", "100", "9" * 5000]))
def test_binary_tensors(server: Server, body: bytes, length: str) -> None:
    header = {"inference-header-content-length": length}
    where = "/v2/models/tiny-made/infer"
    sound(server.client.post(where, content=body, headers=header, timeout=WAIT))


@few
@given(
    PATHS,
    st.text(max_size=9)
    | st.sampled_from(["..", "%2e%2e%2f%2e%2e", "tiny-gpt%2F" + "9" * 5000, "%00", "a" * 5000]),
)
def test_names(server: Server, path: str, name: str) -> None:
    where = path.format(name.replace("/", "%2F").replace("?", "%3F").replace("#", "%23"))
    try:
        url = httpx.URL(server.url + where)
    except httpx.InvalidURL:
        return
    method = "POST" if path.endswith("load") else "GET"
    answer = server.client.request(method, url, timeout=WAIT)
    sound(answer)
    assert b"root:" not in answer.content


COMMANDS = [
    {"type": "generate", **DRAWN[0], "ref": "r"},
    {"type": "generate", **DRAWN[1], "format": "pcm16"},
    {"type": "resume", "job": "none", "next": [0, 1]},
    {"type": "cancel", "job": "none"},
]
MESSAGES = st.lists(
    broken_json(st.sampled_from(COMMANDS)).map(json.dumps)
    | JSON.map(json.dumps)
    | st.text(max_size=30)
    | st.binary(max_size=30),
    min_size=1,
    max_size=8,
)


def talk(server: Server, messages: list[str | bytes]) -> None:
    """Everything gets an answer or an error, and the socket goes on with what is good."""
    with server.socket() as stream:
        for message in messages:
            stream.send(message if isinstance(message, bytes) else _text(message))
        send(stream, type="generate", model="tiny-made", seed=1, ref="the last")
        while True:
            found = stream.recv(timeout=240)
            if isinstance(found, bytes):
                continue
            said = json.loads(found)
            if said["type"] == "error":
                assert said["error"]["status"] < 500, said
            if said.get("ref") == "the last" and said["type"] == "done":
                return


def _text(message: str) -> str:
    return message.encode(errors="replace").decode()


@few
@given(MESSAGES)
def test_messages(server: Server, messages: list[str | bytes]) -> None:
    talk(server, messages)


@pytest.mark.slow
@many
@given(MESSAGES)
def test_many_messages(server: Server, messages: list[str | bytes]) -> None:
    talk(server, messages)


@few
@given(st.lists(st.binary(max_size=40), min_size=1, max_size=3))
def test_frames(server: Server, frames: list[bytes]) -> None:
    """Bytes that are no WebSocket frames, after a good handshake."""
    with server.socket() as stream:
        generate(stream, model="tiny-made", seed=1)
        try:
            for frame in frames:
                stream.socket.sendall(frame)
            stream.socket.shutdown(socket.SHUT_WR)
            while True:
                stream.recv(timeout=240)
        except (ConnectionClosed, OSError):
            pass


@few
@given(broken_bytes(st.just(b"GET /models HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n")))
def test_requests(server: Server, request_: bytes) -> None:
    """Bytes that are no HTTP request."""
    where = urlsplit(server.url)
    with socket.create_connection((where.hostname, where.port), timeout=240) as connection:
        connection.sendall(request_)
        connection.shutdown(socket.SHUT_WR)
        found = b""
        try:
            while part := connection.recv(65536):
                found += part
        except ConnectionResetError:
            pass
    assert not found.startswith(b"HTTP/1.1 5"), found
