from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import Run

from ancestral.access import KeyRing


def test_create_list_revoke(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "keys.json"
    monkeypatch.setenv("ANCESTRAL_KEYS", str(path))
    made = run("keys", "create", "alice", "--admin", "--requests-per-minute", 30)
    text = made.out.strip()  # nothing but the key, to be piped
    assert made.status == 0
    assert text not in made.err
    key = KeyRing(path).find(text)
    assert key is not None
    assert (key.name, key.admin, key.requests_per_minute) == ("alice", True, 30)
    run("keys", "create", "bob")
    listed = run("keys", "list").out
    assert "alice" in listed
    assert "bob" in listed
    for shown in (listed, run("keys", "list", "--json").out):
        assert key.sha256 not in shown
        assert text not in shown
    assert [key["name"] for key in run("keys", "list", "--json").json] == ["alice", "bob"]
    assert run("keys", "revoke", "alice").status == 0
    assert KeyRing(path).find(text) is None
    assert run("keys", "revoke", "alice").status == 2
    assert run("keys", "create", "bob").status == 2
    carol = run("keys", "create", "carol", "--json").json
    assert KeyRing(path).find(carol["key"]) is not None
    assert run("keys", "revoke", "carol", "--json").json["id"] == carol["id"]


def test_without_a_file(run: Run) -> None:
    found = run("keys", "list")
    assert found.status == 2
    assert "ANCESTRAL_KEYS" in found.err


def test_serve_refuses_a_missing_file_of_keys(run: Run, small_store: Path, tmp_path: Path) -> None:
    missing = tmp_path / "keys.json"
    found = run("serve", "--models", small_store, "--keys", missing, "--port", 0)
    assert found.status == 2
    assert "keys.json" in found.err
