from __future__ import annotations

from pathlib import Path

import pytest

from ancestral.access import create
from ancestral.logs import redact


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"WebSocket /stream?token=aB-_9" [accepted]', '"WebSocket /stream?token=…" [accepted]'),
        ("GET /jobs/x/events?a=1&token=zz%20y&b=2", "GET /jobs/x/events?a=1&token=…&b=2"),
        ("ancestral.v1, ancestral.token.abc", "ancestral.v1, ancestral.token.…"),
        ("Authorization: Bearer abc", "Authorization: Bearer …"),
        ("redis://user:pass@host:6379/0", "redis://user:…@host:6379/0"),
        ("redis://:p%40ss@host", "redis://:…@host"),
        ("redis://host:6379/0 answers", "redis://host:6379/0 answers"),
        ("job 7: token of a sample", "job 7: token of a sample"),
    ],
)
def test_redact(text: str, expected: str) -> None:
    assert redact(text) == expected


def test_keys(tmp_path: Path) -> None:
    key, text = create(tmp_path / "keys.json", "alice")
    assert redact(f"[{text}]") == f"[anc_{key.id}_…]"
