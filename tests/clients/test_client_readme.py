"""The README's snippets, run as they are against a server of tiny packages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.api.server import Server

README = Path(__file__).parents[2] / "clients" / "python" / "README.md"
SNIPPETS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
PRINTS = [
    r"\d+\.\d+ 0\.0\n",
    r"\(4, 1, 28, 28\)\n",
    r"(0 \d+ \(\d+, 1\)\n)+",
    r"([01] \d+\n)+422 temperature [0-9a-f]{32}\n",
    r"\[( ?-?1){3}\]\n",
]


@pytest.mark.parametrize(("snippet", "prints"), list(zip(SNIPPETS, PRINTS, strict=True)))
def test_snippet(
    snippet: str, prints: str, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "http://127.0.0.1:8000" in snippet
    code = snippet.replace("http://127.0.0.1:8000", server.url).replace("progress=True", "")
    exec(compile(code, README.name, "exec"), {})
    assert re.fullmatch(prints, capsys.readouterr().out)
