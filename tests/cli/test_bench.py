from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import Run


def test_bench(run: Run, small_store: Path) -> None:
    options = ("--batch", 1, "--batch", 2, "--sites", 10, "--models", small_store)
    found = run("bench", "tiny-wavenet", *options, "--clock", "cpu", "--json")
    assert found.status == 0, found.err
    assert [(row["model"], row["batch"], row["sites"]) for row in found.json["rows"]] == [
        ("tiny-wavenet", 1, 10),
        ("tiny-wavenet", 2, 10),
    ]
    assert all(row["sample_score"] > 0 for row in found.json["rows"])
    assert found.json["machine"]["clock"] == "cpu"
    assert found.json["peers"] == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--runtime", "fastest"), "known are native"),
        (("--network", "wavenet"), "known are wavenet-30"),
        (("--clock", "sundial"), "known are wall, cpu"),
        (("--peers",), "is for --network"),
    ],
)
def test_what_is_not_known_is_refused(
    run: Run, small_store: Path, options: tuple[str, ...], words: str
) -> None:
    found = run("bench", "--models", small_store, *options)
    assert found.status == 2
    assert words in found.err


def test_a_server_that_is_not_there(run: Run) -> None:
    found = run("bench", "serve", "http://127.0.0.1:9", "--seconds", 1)
    assert found.status == 2
    assert "http://127.0.0.1:9" in found.err


def test_all_packages_where_none_is_named(run: Run, small_store: Path) -> None:
    table = run("bench", "--batch", 1, "--sites", 3, "--models", small_store).out
    assert "sample/score" in table
    assert "tiny-pixelcnn" in table


def test_profile(run: Run, small_store: Path) -> None:
    """Operations of a step: those of the network, each in its place, and the draw."""
    given = ("bench", "profile", "tiny-wavenet", "--batch", 2, "--sites", 16)
    (found,) = run(*given, "--models", small_store, "--json").json
    counts = {row["operation"]: row["count"] for row in found["shares"]}
    assert counts["draw"] == 1
    assert counts["gate"] == counts["embedding"] * 3  # of three layers
    assert sum(row["microseconds"] for row in found["shares"]) == pytest.approx(found["whole"])


def test_a_package_of_random_weights(run: Run, tmp_path: Path) -> None:
    assert run("bench", "package", "wavenet-30", tmp_path).status == 0
    shown = run("models", "show", "wavenet-30", "--models", tmp_path)
    assert shown.status == 0, shown.err
    assert run("bench", "package", "wavenet-31", tmp_path).status == 2


def test_cost_of_rounded_weights(run: Run, small_store: Path) -> None:
    """The more is rounded, the more bits; see `engine.rounded` for what they are measured on."""
    given = ("bench", "weights", "tiny-pixelcnn", "--models", small_store)
    found = {row["weights"]: row for row in run(*given, "--json").json}
    assert set(found) == {"bf16", "int8"}
    assert abs(found["bf16"]["bits"]) <= abs(found["int8"]["bits"]) + 3 * found["int8"]["error"]
    table = run(*given, "--markdown").out
    assert table.startswith("| model | bf16 | int8 |")
    assert f"{found['int8']['bits']:+.5f}" in table
