from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import Run

from ancestral.engine import verify


def test_verify(run: Run, small_store: Path) -> None:
    found = run("verify", "tiny-wavenet", "--sites", 20, "--models", small_store, "--json")
    assert found.status == 0, found.out
    (report,) = found.json
    assert report["ok"] is True
    assert report["derived"] is True
    assert report["sites"] == 20
    assert "derived" in run("verify", "tiny-wavenet", "--models", small_store).out


def test_a_broken_invariant_is_status_1(
    run: Run, small_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "ARITHMETIC_LIMIT", 0.0)
    found = run("verify", "tiny-wavenet", "--models", small_store, "--runtime", "reference")
    assert found.status == 1
    assert "fails" in found.out
