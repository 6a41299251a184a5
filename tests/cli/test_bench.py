from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Run


def test_bench(run: Run, small_store: Path) -> None:
    options = ("--batch", 1, "--batch", 2, "--sites", 10, "--models", small_store)
    found = run("bench", "tiny-wavenet", *options, "--json")
    assert found.status == 0, found.err
    assert [(row["model"], row["batch"], row["sites"]) for row in found.json] == [
        ("tiny-wavenet/1", 1, 10),
        ("tiny-wavenet/1", 2, 10),
    ]
    assert all(row["sample_score"] > 0 for row in found.json)


def test_all_packages_where_none_is_named(run: Run, small_store: Path) -> None:
    table = run("bench", "--batch", 1, "--sites", 3, "--models", small_store).out
    assert "sample/score" in table
    assert "tiny-pixelcnn/1" in table
