from __future__ import annotations

import logging
from pathlib import Path

import pytest

from ancestral.engine.process import warn_of_cache


def test_a_cache_that_cannot_be_written_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "ancestral.engine"):
        warn_of_cache(tmp_path / "new" / "cache")
        assert not caplog.records
        (tmp_path / "file").touch()
        warn_of_cache(tmp_path / "file" / "cache")
    (told,) = caplog.messages
    assert "ANCESTRAL_CACHE" in told
    assert "Not a directory" in told
