"""Pure ASGI middleware: a request id with an access log, and a limit on bodies before parsing."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ancestral.api.problems import Problem, draining, respond
from ancestral.logs import current_request

access = logging.getLogger("ancestral.access")
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class RequestId:
    """Echo `X-Request-Id`, or make one; log one line per request under the name of its route."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        identity = given if _ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = identity
        current_request.set(identity)
        before = time.monotonic()
        status = 0

        async def with_id(message: Message) -> None:
            nonlocal status
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-Id"] = identity
            elif message["type"] == "websocket.accept":
                status = 101
                MutableHeaders(scope=message)["X-Request-Id"] = identity
            await send(message)

        try:
            await self.app(scope, receive, with_id)
        finally:
            quiet = scope["path"] == "/metrics" or scope["path"].startswith("/health/")
            access.log(
                logging.DEBUG if quiet else logging.INFO,  # probes come every few seconds
                "%s %s %d %.3fs %s",
                scope.get("method", "WS"),
                scope["path"],
                status,
                time.monotonic() - before,
                identity,
                extra={"path": scope["path"], "status": status, **_of_key(scope)},
            )


def _of_key(scope: Scope) -> dict[str, str]:
    found = scope.get("state", {}).get("key")
    return {} if found is None else {"key": found}


class HandOver:
    """Answer 503 to a request that is broken off because the process stops, not uvicorn's 500.

    A proxy gives it to another process then.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def noticed(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, noticed)
        except asyncio.CancelledError:
            if started:
                raise
            identity = scope.get("state", {}).get("request_id", "")
            await respond(draining(), scope["path"], identity)(scope, receive, send)


class BodyLimit:
    """Refuse bodies beyond `limit` bytes: by their header before a byte is read, else as they come.

    The connection is closed after a refusal, because its unread body would follow.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "0")
        if declared.isdecimal() and int(declared) > self.limit:
            detail = f"the body has {declared} bytes; {self.limit} are read at most"
            problem = Problem(
                413, "Content Too Large", detail, [("body", detail)], {"Connection": "close"}
            )
            identity = scope.get("state", {}).get("request_id", "")
            await respond(problem, scope["path"], identity)(scope, receive, send)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            if message["type"] == "http.request":
                read += len(message.get("body", b""))
                if read > self.limit:
                    detail = f"the body is longer than {self.limit} bytes"
                    raise HTTPException(413, detail, {"Connection": "close"})
            return message

        await self.app(scope, counted, send)
