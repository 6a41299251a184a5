from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import Run


def test_doctor(
    run: Run, small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANCESTRAL_PORT", "0")
    monkeypatch.setenv("ANCESTRAL_CACHE", str(tmp_path / "cache"))
    well = run("doctor", "--models", small_store)
    assert well.status == 0, well.out
    assert "nothing is wrong" in well.out
    (tmp_path / "file").touch()
    monkeypatch.setenv("ANCESTRAL_CACHE", str(tmp_path / "file"))
    ill = run("doctor", "--models", small_store, "--json")
    assert ill.status == 1
    assert ill.json["ok"] is False
    (wrong,) = [each for each in ill.json["findings"] if each["state"] == "wrong"]
    assert wrong["area"] == "cache"
    assert wrong["mend"] == "ANCESTRAL_CACHE=FOLDER names another"
    table = run("doctor", "--models", small_store)
    assert table.status == 1
    assert "1 of" in table.out
