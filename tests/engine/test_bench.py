from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from tests.packages import publish

import ancestral
from ancestral.engine.bench import bench, table


@pytest.mark.parametrize("name", ["tiny-colour", "tiny-wavenet"])
def test_every_batch_size_is_timed_beside_the_naive_loop(tmp_path: Path, name: str) -> None:
    publish(tmp_path, name)
    rows = list(bench(ancestral.load(name, root=tmp_path), (1, 2)))
    assert [row.batch for row in rows] == [1, 2]
    for row in rows:
        assert row.derived
        assert row.sample_score == pytest.approx(row.sample_seconds / row.score_seconds)
        assert row.sites_per_second == pytest.approx(row.batch * row.sites / row.sample_seconds)
        assert min(row.score_seconds, row.sample_seconds, row.naive_seconds) > 0
        assert json.loads(json.dumps(row.to_json()))["naive_sites_timed"] == 3


def test_the_table_says_that_the_naive_loop_is_extrapolated(tmp_path: Path) -> None:
    publish(tmp_path, "tiny-made")
    rows = list(bench(ancestral.load("tiny-made", root=tmp_path), (1,)))
    console = Console(width=160, file=io.StringIO())
    with console.capture() as printed:
        console.print(table(rows))
    text = printed.get()
    assert "tiny-made/1" in text
    assert "extrapolated" in text
    assert "reference (derived)" in text
