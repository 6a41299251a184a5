"""The guide builds without a warning, fetches nothing from elsewhere, and the server shows it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from ancestral.api.app import create_app
from ancestral.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("guide")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(target)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 25
    loaded = re.compile(r"<(?:script|link|img|iframe)\b[^>]*(?:src|href)=\"(https?:[^\"]+)\"")
    for page in pages:
        found = loaded.findall(page.read_text(encoding="utf-8"))
        assert not [url for url in found if not url.startswith("http://127.0.0.1")], page


def test_the_reference_has_routes_commands_and_methods(site: Path) -> None:
    def text(name: str) -> str:
        return (site / "reference" / f"{name}.html").read_text(encoding="utf-8")

    for route in ("POST /log_prob", "POST /sample", "GET /jobs/{id}/events", "GET /health/ready"):
        assert f"<code>{route}</code>" in text("http")
    for command in ("ancestral score", "ancestral models show", "ancestral import"):
        assert f"<code>{command}</code>" in text("cli")
    assert 'id="ancestral.engine.model.Model.log_prob"' in text("python")
    assert 'id="ancestral_client.Client.stream"' in text("client")


def test_the_server_shows_it(site: Path, tmp_path: Path) -> None:
    def client(guide: Path) -> TestClient:
        settings = Settings(models=tmp_path, guide=guide)
        return TestClient(create_app(settings), base_url="http://localhost")

    answer = client(site).get("/docs/guide/")
    assert answer.status_code == 200
    assert "painting.gif" in answer.text
    assert client(site).get("/docs/guide/painting.gif").headers["content-type"] == "image/gif"
    assert client(site).get("/docs").status_code == 200
    assert client(tmp_path / "none").get("/docs/guide/").status_code == 404
