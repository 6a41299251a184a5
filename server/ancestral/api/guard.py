"""The guard before every route: keys and tokens, allowances, and who may send a browser here.

With keys every request needs one, except for health, the guide and the page's own files. Without
keys a server on loopback trusts whoever runs a program on its machine, but not the sites that a
browser there visits: other origins are refused, and so are names that only pretend to be this
machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from ancestral.access import Key, KeyRing, Ledger, Rate
from ancestral.api.problems import Problem, of_error, respond
from ancestral.api.visits import Visit, current_visit
from ancestral.settings import Settings, loopback

KEY_PROTOCOL = "ancestral.key."  # subprotocols of sockets, as browsers send no headers with them
TOKEN_PROTOCOL = "ancestral.token."
_OPEN = ("/health/", "/v2/health/", "/docs/guide")


class Guard:
    """ASGI middleware; `ring` is None where nobody is asked for a key."""

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        ring: KeyRing | None,
        ledger: Ledger,
        page: Collection[str] = (),
    ) -> None:
        self.app = app
        self._ring, self._ledger = ring, ledger
        self._page = frozenset(page)
        self._open_metrics = settings.open_metrics
        self._rates = {
            "requests": settings.requests_per_minute,
            "sites": settings.sites_per_minute,
        }
        self._alone = loopback(settings.host)
        self._names = {"localhost", "127.0.0.1", "::1", settings.host}
        self._origins = settings.origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        try:
            visit = await self._visit(scope)
        except Exception as error:
            await self._refuse(of_error(error), scope, receive, send)
            return
        current_visit.set(visit)
        if visit.key is not None:
            scope.setdefault("state", {})["key"] = visit.key.id

        async def with_levels(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(visit.headers())
            await send(message)

        await self.app(scope, receive, with_levels)

    async def _visit(self, scope: Scope) -> Visit:
        """Raises a problem for whoever may not come in."""
        path, headers = scope["path"], Headers(scope=scope)
        if path.startswith(_OPEN) or (path == "/metrics" and self._open_metrics):
            return Visit()
        if self._ring is None:
            self._require_near(headers)
            return Visit(admin=self._alone)
        if path in self._page and scope["type"] == "http":
            return Visit()
        key = await self._key(self._ring, scope, headers)
        given = {"requests": key.requests_per_minute, "sites": key.sites_per_minute}
        limits = {what: self._rates[what] if own is None else own for what, own in given.items()}
        rates = {what: Rate(limit) for what, limit in limits.items() if limit}
        visit = Visit(key.admin, key, self._ledger, rates)
        await visit.spend("requests", 1)
        return visit

    async def _key(self, ring: KeyRing, scope: Scope, headers: Headers) -> Key:
        try:
            found = _credential(scope, headers)
            if found is None:
                raise _unauthorized("an API key is needed", "")
            text, is_token = found
            if not is_token:
                key = ring.find(text)
            else:
                identity = await self._ledger.redeem(token_hash(text))
                key = None if identity is None else ring.of_id(identity)
        except (OSError, ValueError) as error:
            detail = "the keys cannot be read at the moment"
            raise Problem(503, "Service Unavailable", detail) from error
        if key is None:
            raise _unauthorized("the key or token is not valid", ' error="invalid_token"')
        return key

    def _require_near(self, headers: Headers) -> None:
        """No key guards us: at least no page from elsewhere may use its reader's browser."""
        host = _host(f"//{headers.get('host', '')}")
        if self._alone and host not in self._names:
            raise Problem(403, "Forbidden", "this server answers to the names of its machine only")
        origin = headers.get("origin")
        if origin is None or origin in self._origins or "*" in self._origins:
            return
        if _host(origin) != host:
            raise Problem(403, "Forbidden", "pages of other origins may not use this server")

    async def _refuse(self, problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
        answer = respond(problem, scope["path"], scope.get("state", {}).get("request_id", ""))
        if scope["type"] == "websocket":
            await WebSocket(scope, receive, send).send_denial_response(answer)
        else:
            await answer(scope, receive, send)


def token_hash(token: str) -> str:
    """What the ledger keeps of a token."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()


def _credential(scope: Scope, headers: Headers) -> tuple[str, bool] | None:
    """The key or token that a request brings, and whether it is a token."""
    scheme, _, text = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return text.strip(), False
    if scope["type"] == "websocket":
        for name in scope.get("subprotocols", ()):
            if name.startswith(KEY_PROTOCOL):
                return name.removeprefix(KEY_PROTOCOL), False
            if name.startswith(TOKEN_PROTOCOL):
                return name.removeprefix(TOKEN_PROTOCOL), True
    if scope["type"] == "websocket" or scope["method"] == "GET":
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        if tokens := query.get("token"):
            return tokens[0], True
    return None


def _unauthorized(detail: str, challenge: str) -> Problem:
    return Problem(401, "Unauthorized", detail, headers={"WWW-Authenticate": f"Bearer{challenge}"})


def _host(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""
