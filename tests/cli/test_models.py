from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import Run

from ancestral.cli.models import list_


def test_list(run: Run, small_store: Path) -> None:
    found = run("models", "list", "--models", small_store, "--json")
    assert found.status == 0
    assert [entry["name"] for entry in found.json] == [
        "tiny-pixelcnn",
        "tiny-wavenet",
        "tiny-wavernn",
    ]
    assert found.json[0]["versions"] == [1]
    assert found.json[1]["reference"] == {"unit": "-bits/dim", "n": 2}
    assert "gated-pixelcnn" in run("models", "list", "--models", small_store).out


def test_names_are_whole_in_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], small_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes it for a terminal
    list_(models=small_store)
    assert "tiny-pixelcnn/1" in capsys.readouterr().out


def test_show(run: Run, small_store: Path) -> None:
    found = run("models", "show", "tiny-wavenet", "--models", small_store, "--json").json
    assert found["data"]["sample_rate"] == 1000
    assert found["path"] == str(small_store / "tiny-wavenet" / "1")
    assert found["memory"]["cache_bytes"] == 32 * found["memory"]["bytes_per_slot"]
    assert "mu-law" in run("models", "show", "tiny-wavenet/1", "--models", small_store).out


def test_prepare(
    run: Run, small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANCESTRAL_CACHE", str(tmp_path))
    found = run("models", "prepare", "tiny-wavenet", "--models", small_store)
    assert found.status == 0
    assert "1 of 1" in found.out
    assert [path.parent.name for path in (tmp_path / "graphs").rglob("*.safetensors")] == [
        "tiny-wavenet-1-"
    ]
    told = run("models", "prepare", "tiny-wavenet", "absent", "--models", small_store, "--json")
    assert told.status == 1
    assert (told.json["prepared"], list(told.json["errors"])) == (1, ["absent"])


def test_slots_follow_from_the_memory(
    run: Run, small_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def memory() -> dict[str, int]:
        shown = run("models", "show", "tiny-wavenet", "--models", small_store, "--json")
        found: dict[str, int] = shown.json["memory"]
        return found

    each = memory()["bytes_per_slot"]
    monkeypatch.setenv("ANCESTRAL_SLOT_MEMORY_BYTES", str(3 * each + 1))
    assert memory()["slots"] == 3
    monkeypatch.setenv("ANCESTRAL_MEMORY_BYTES", str(memory()["weight_bytes"] + 2 * each))
    assert memory()["slots"] == 2


def test_unknown_models_and_stores(run: Run, small_store: Path) -> None:
    found = run("models", "show", "nobody", "--models", small_store)
    assert found.status == 2
    assert found.out == ""
    assert (
        "there is no model 'nobody'; there are: tiny-pixelcnn, tiny-wavenet, tiny-wavernn"
        in found.err
    )
    assert run("models", "list", "--models", small_store / "absent").status == 2
