"""Without keys: what a browser may be made to do to a server on its user's machine."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from ancestral.api.app import create_app
from ancestral.settings import Settings


def status(settings: Settings, method: str, path: str, **headers: str) -> int:
    async def run() -> int:
        transport = httpx.ASGITransport(create_app(settings))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            answer = await client.request(method, path, headers=headers)
            return answer.status_code

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("host", "origin", "expected"),
    [
        ("localhost:8000", "", 200),
        ("127.0.0.1:8000", "", 200),
        ("[::1]:8000", "", 200),
        ("localhost:8000", "http://localhost:8000", 200),
        ("localhost:8000", "http://localhost:3000", 200),  # a page under development
        ("localhost:8000", "https://evil.example", 403),
        ("localhost:8000", "null", 403),  # a sandboxed frame or a local file
        ("evil.example:8000", "", 403),  # DNS rebinding
        ("evil.example:8000", "http://evil.example:8000", 403),
        ("", "", 403),
    ],
)
def test_loopback(tmp_path: Path, host: str, origin: str, expected: int) -> None:
    headers = {"host": host} | ({"origin": origin} if origin else {})
    assert status(Settings(models=tmp_path), "GET", "/models", **headers) == expected
    assert status(Settings(models=tmp_path), "GET", "/health/live", **headers) == 200


def test_a_wished_origin(tmp_path: Path) -> None:
    settings = Settings(models=tmp_path, cors_origins="https://page.example")
    assert status(settings, "GET", "/models", origin="https://page.example") == 200
    assert status(settings, "GET", "/models", origin="https://evil.example") == 403


def test_an_open_server_of_others(tmp_path: Path) -> None:
    settings = Settings(models=tmp_path, host="0.0.0.0", allow_anonymous=True)
    assert status(settings, "GET", "/models", host="ours.example") == 200
    headers = {"host": "ours.example", "origin": "https://ours.example"}
    assert status(settings, "GET", "/models", **headers) == 200
    assert status(settings, "POST", "/models/x/load", host="ours.example") == 403
    assert status(settings, "GET", "/models", origin="https://evil.example") == 403
