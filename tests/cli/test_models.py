from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Run


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


def test_show(run: Run, small_store: Path) -> None:
    found = run("models", "show", "tiny-wavenet", "--models", small_store, "--json").json
    assert found["data"]["sample_rate"] == 1000
    assert found["path"] == str(small_store / "tiny-wavenet" / "1")
    assert found["memory"]["cache_bytes"] == 32 * found["memory"]["bytes_per_slot"]
    assert "mu-law" in run("models", "show", "tiny-wavenet/1", "--models", small_store).out


def test_unknown_models_and_stores(run: Run, small_store: Path) -> None:
    found = run("models", "show", "nobody", "--models", small_store)
    assert found.status == 2
    assert found.out == ""
    assert (
        "there is no model 'nobody'; there are: tiny-pixelcnn, tiny-wavenet, tiny-wavernn"
        in found.err
    )
    assert run("models", "list", "--models", small_store / "absent").status == 2
