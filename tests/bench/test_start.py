from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest
from tests.packages import publish

from ancestral.bench.start import Start, start, start_table


@pytest.mark.slow
def test_a_server_is_up_then_streams_then_has_all(tmp_path: Path) -> None:
    publish(tmp_path, "tiny-made")
    publish(tmp_path, "tiny-pixelcnn")
    told: list[str] = []
    found = start(tmp_path, "tiny-pixelcnn", "reference", told.append)
    assert found.packages == 2
    assert 0 < found.up < found.first <= found.ready
    assert 0 < found.processor_up <= found.processor_first <= found.processor_ready
    assert "up after" in told[1]


def test_a_server_that_ends_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "ANCESTRAL_SLOTS", "none")
    with pytest.raises(ValueError, match="ended with status"):
        start(tmp_path, "nobody", tell=lambda words: None)


def test_the_table_has_three_moments() -> None:
    found = Start("m", 2, 1.0, 2.0, 3.0, 0.5, 1.5, 2.5)
    assert start_table(found).row_count == 3
    assert dataclasses.asdict(found) == found.to_json()
