"""HTTP with patience: what may be repeated is, with backoff, and refusals become exceptions."""

from __future__ import annotations

import asyncio
import os
import random
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from ancestral_client.errors import ProblemError, Unreachable, of_answer

FIRST_SECONDS = 0.2  # of the first pause; each one after may be twice as long
LONGEST_SECONDS = 10.0
CONNECT_SECONDS = 10.0
URL = "http://127.0.0.1:8000"
TIMEOUT = 600.0  # seconds
PATIENCE = 60.0  # seconds
_PASSING = (502, 503)  # statuses that pass: of a proxy, or of a server that says when to come back


@dataclass(frozen=True, slots=True)
class Settings:
    """How to talk to a server; what a client is made of, and what is pickled of it.

    timeout     seconds without a byte of an answer
    patience    seconds in which a server that was there before may be away, or full
    """

    url: str = URL
    api_key: str | None = None
    timeout: float = TIMEOUT
    patience: float = PATIENCE
    ssl_context: ssl.SSLContext | None = None

    @classmethod
    def of(cls, url: str | None, api_key: str | None, *rest: Any) -> Settings:
        """What is not said is as the environment says: ANCESTRAL_URL, ANCESTRAL_KEY."""
        found = url or os.environ.get("ANCESTRAL_URL") or URL
        return cls(found.rstrip("/"), api_key or os.environ.get("ANCESTRAL_KEY"), *rest)

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.api_key is None else {"Authorization": f"Bearer {self.api_key}"}


class Backoff:
    """Pauses of one try after the other: exponential with full jitter, or what the server asks.

    `patience` counts from the first failure; `rest` starts it anew.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self.rest()

    def rest(self) -> None:
        """It went well."""
        self._failures = 0
        self._since = 0.0

    def pause(self, retry_after: float | None = None) -> float | None:
        """Seconds to wait after one more failure; None where patience would not last."""
        now = time.monotonic()
        if self._failures == 0:
            self._since = now
        most = min(LONGEST_SECONDS, FIRST_SECONDS * 2**self._failures)
        self._failures += 1
        wait = random.uniform(0, most) if retry_after is None else retry_after
        return wait if now + wait - self._since <= self._patience else None


class Http:
    """Requests to one server."""

    def __init__(self, settings: Settings, transport: httpx.AsyncBaseTransport | None) -> None:
        self.settings = settings
        self.reached = False  # whether the server has ever answered
        self._client = httpx.AsyncClient(
            base_url=settings.url,
            headers=settings.headers,
            timeout=httpx.Timeout(settings.timeout, connect=CONNECT_SECONDS),
            transport=transport,
            verify=settings.ssl_context or True,
        )

    async def aclose(self) -> None:
        await self._client.aclose()

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """An answer with status 200 or 202. Raises ProblemError or Unreachable.

        Every request of this client may be repeated: scoring has no effects, and samples are drawn
        under ids that the client makes. `options` are those of httpx.
        """
        backoff = Backoff(self.settings.patience)
        while True:
            try:
                return await self.once(method, path, **options)
            except (httpx.TransportError, ProblemError) as error:
                await self.recover(backoff, error)

    async def once(self, method: str, path: str, **options: Any) -> httpx.Response:
        """As `request`, tried once. Raises httpx.TransportError where the server is away."""
        response = await self._client.request(method, path, **options)
        self.reached = True
        if not response.is_success:
            raise of_answer(response.status_code, response.headers, response.content)
        return response

    @asynccontextmanager
    async def lines(
        self, path: str, content: bytes, headers: Mapping[str, str]
    ) -> AsyncIterator[AsyncIterator[str]]:
        """The lines of a POST's answer as they come. Raises ProblemError; httpx.TransportError."""
        request = self._client.stream("POST", path, content=content, headers=dict(headers))
        async with request as response:
            self.reached = True
            if not response.is_success:
                body = await response.aread()
                raise of_answer(response.status_code, response.headers, body)
            yield response.aiter_lines()

    async def recover(self, backoff: Backoff, error: Exception) -> None:
        """Wait before the next try. Raises where there should be none.

        A server that was never reached is an error at once; so is a refusal that will not pass.
        """
        if isinstance(error, ProblemError):
            passes = error.status == 429 or (
                error.status in _PASSING and (error.status == 502 or error.retry_after is not None)
            )
            pause = backoff.pause(error.retry_after) if passes else None
            if pause is None:
                raise error
        else:
            pause = backoff.pause() if self.reached else None
            if pause is None:
                message = (
                    f"no server answers at {self.settings.url}: {error or type(error).__name__}"
                )
                raise Unreachable(message) from error
        await asyncio.sleep(pause)
