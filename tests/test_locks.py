from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest

from ancestral.locks import alone


def test_one_at_a_time(tmp_path: Path) -> None:
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        with alone(tmp_path / "folder" / "lock"):
            inside.append(1)
            most.append(len(inside))
            threading.Event().wait(0.02)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1, 1]


def test_who_hangs_is_not_waited_for_without_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reached = False
    with (
        caplog.at_level(logging.WARNING, "ancestral"),
        alone(tmp_path / "lock"),
        alone(tmp_path / "lock", wait=0.2),
    ):
        reached = True
    assert reached
    assert "is held for long" in caplog.text


def test_where_nothing_can_be_written_nobody_waits(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with alone(tmp_path / "file" / "lock"):
        pass


def test_a_fault_within_is_passed_on_and_the_lock_is_free_again(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="within"), alone(tmp_path / "lock"):
        raise OSError("within")
    with alone(tmp_path / "lock", wait=0.0):
        pass
