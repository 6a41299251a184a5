"""One sampling job read over a WebSocket, through as many connections as it takes.

The job is made by `PUT /sample/{id}` under an id and a seed of the client's, so that it goes on
while nobody listens and can be met again: a new connection resumes at the first site that has not
arrived. A server that lost the job (its queue was in memory) draws the same values again, as they
follow from seed and weights; the fingerprint tells whether they do.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Literal, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from ancestral_client.errors import (
    AncestralError,
    JobCanceled,
    NotFound,
    ProblemError,
    StreamBroken,
    of_answer,
    problem,
)
from ancestral_client.frames import SUBPROTOCOL, Array, Chunk, Ledger, Started, decode
from ancestral_client.http import CONNECT_SECONDS, Backoff, Http

Format = Literal["codes", "pcm16"]
SILENT_SECONDS = 60.0  # a server that answers no ping for so long is gone
CLOSE_SECONDS = 1.0  # for the closing handshake; the job's end does not depend on it
CANCEL_SECONDS = 5.0
REFUSALS = (1003, 1008, 1009)  # close codes: wrong type, policy, too big (RFC 6455, 7.4.1)


@dataclass(frozen=True, slots=True)
class ItemScore:
    """Of a finished item: nats under the untempered model, of all sites and of those drawn."""

    item: int
    log_prob: float
    sampled_log_prob: float
    bits_per_dim: float
    dimensions: int


@dataclass(frozen=True, slots=True)
class Finished:
    """What a stream says at its end."""

    items: tuple[ItemScore, ...]
    seconds: float
    sites: int
    sites_per_second: float

    @classmethod
    def of(cls, message: Mapping[str, Any]) -> Finished:
        names = ItemScore.__slots__
        return cls(
            tuple(ItemScore(**{name: item[name] for name in names}) for item in message["items"]),
            message["seconds"],
            message["sites"],
            message["sites_per_second"],
        )


class AsyncStream:
    """Chunks of samples while they are drawn: `async for chunk in stream`, once.

    Leaving the loop, by break or by an error, cancels the job; `async with` around it makes sure
    that this has happened at its end. Raises ProblemError where the job fails, JobCanceled where
    somebody else cancels it, Unreachable where the server stays away.

    started      what is drawn; there once the first chunk is
    finished     scores; there once the loop has ended by itself
    connections  that it took so far
    """

    def __init__(
        self, http: Http, body: Mapping[str, Any], format: Format, running: set[str]
    ) -> None:
        self.job = uuid.uuid4().hex
        self.started: Started | None = None
        self.finished: Finished | None = None
        self.connections = 0
        self._http, self._body, self._format = http, body, format
        self._running = running  # jobs that end with the client
        self._ledger: Ledger | None = None
        # Weak, so that the generator ends as soon as the loop over it is left (PEP 525)
        self._chunks: weakref.ref[AsyncGenerator[Chunk, None]] | None = None

    def item(self, index: int) -> Array:
        """An item as far as it has arrived, in its own shape; the rest is zero."""
        if self._ledger is None:
            raise AncestralError("the stream has not started")
        return self._ledger.item(index)

    def __aiter__(self) -> AsyncGenerator[Chunk, None]:
        if self._chunks is not None:
            raise AncestralError("a stream is read once")
        chunks = self._read()
        self._chunks = weakref.ref(chunks)
        return chunks

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def pause(self) -> None:
        """Draw no more for now: the job's slots go to others; what was drawn still arrives.

        It goes on by itself after some minutes. Raises NotFound before the job is made.
        """
        await self._http.request("POST", f"/jobs/{self.job}/pause")

    async def resume(self) -> None:
        """Go on where it was."""
        await self._http.request("POST", f"/jobs/{self.job}/unpause")

    async def aclose(self) -> None:
        """End the job, unless it has ended."""
        chunks = None if self._chunks is None else self._chunks()
        if chunks is not None:
            await chunks.aclose()

    async def _read(self) -> AsyncGenerator[Chunk, None]:
        backoff = Backoff(self._http.settings.patience)
        self._running.add(self.job)
        try:
            while self.finished is None:
                try:
                    await self._make()
                    async with aclosing(self._connection()) as chunks:
                        async for chunk in chunks:
                            backoff.rest()
                            yield chunk
                except (OSError, WebSocketException, ProblemError) as error:
                    await self._http.recover(backoff, error)
        finally:
            if self.finished is None:
                await cancel(self._http, self.job)
            self._running.discard(self.job)

    async def _make(self) -> None:
        """Make the job, or meet it again."""
        headers = {"Prefer": "respond-async"}
        path = f"/sample/{self.job}"
        await self._http.request("PUT", path, json=self._body, headers=headers)

    async def _connection(self) -> AsyncGenerator[Chunk, None]:
        """What one connection brings."""
        self.connections += 1
        async with _connected(self._http) as socket:
            next = self._ledger.next if self._ledger else [0] * int(self._body.get("count", 1))
            command = {"type": "resume", "job": self.job, "next": next, "format": self._format}
            await socket.send(json.dumps(command))
            async for message in _messages(socket):
                if isinstance(message, bytes):
                    yield self._book(decode(message))
                else:
                    self._control(json.loads(message))
                if self.finished is not None:
                    return
        raise ConnectionResetError("the socket closed")

    def _book(self, chunk: Chunk) -> Chunk:
        if self._ledger is None:
            raise StreamBroken("values came before `started`")
        self._ledger.book(chunk)
        return chunk

    def _control(self, message: Mapping[str, Any]) -> None:
        match message["type"]:
            case "started":
                started = Started.of(message)
                if self.started is None:
                    self.started, self._ledger = started, Ledger(started)
                elif started.fingerprint != self.started.fingerprint:
                    raise StreamBroken("the server goes on with other weights or software")
            case "done":
                if self._ledger is None or not self._ledger.complete:
                    raise StreamBroken("`done` came before the last site")
                self.finished = Finished.of(message)
            case "canceled":
                raise JobCanceled(f"job {self.job} was canceled")
            case "error":
                error = problem(message["error"])
                if isinstance(error, NotFound):  # the server lost the job since it was made
                    raise ConnectionResetError(error.detail)
                raise error


async def cancel(http: Http, job: str) -> None:
    """End a job that nobody waits for; what stands in the way of that is of no interest."""
    with contextlib.suppress(AncestralError, TimeoutError):
        async with asyncio.timeout(CANCEL_SECONDS):
            await http.request("DELETE", f"/jobs/{job}")


@contextlib.asynccontextmanager
async def _connected(http: Http) -> AsyncIterator[ClientConnection]:
    """A socket. Raises ProblemError where the handshake is refused."""
    settings = http.settings
    scheme, _, rest = settings.url.rstrip("/").partition("://")
    address = f"{'wss' if scheme == 'https' else 'ws'}://{rest}/stream"
    secure: dict[str, Any] = {} if settings.ssl_context is None else {"ssl": settings.ssl_context}
    shake = connect(
        address,
        subprotocols=[Subprotocol(SUBPROTOCOL)],
        additional_headers=settings.headers,
        compression=None,
        open_timeout=CONNECT_SECONDS,
        ping_timeout=SILENT_SECONDS,
        close_timeout=CLOSE_SECONDS,
        max_size=None,
        **secure,
    )
    try:
        socket = await shake
    except InvalidStatus as error:
        answer = error.response
        headers = {name.lower(): value for name, value in answer.headers.raw_items()}
        raise of_answer(answer.status_code, headers, bytes(answer.body or b"")) from error
    async with socket:
        yield socket


async def _messages(socket: ClientConnection) -> AsyncIterator[str | bytes]:
    """Messages until the socket closes. Raises StreamBroken where another socket would not help."""
    try:
        while True:
            yield await socket.recv()
    except ConnectionClosed as error:
        code = None if error.rcvd is None else error.rcvd.code
        if code in REFUSALS:
            raise StreamBroken(str(error)) from error
        raise
