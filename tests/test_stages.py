"""Stages are told as they are gone through, and to nobody where nobody watches."""

from __future__ import annotations

import pytest

from ancestral.stages import begin, each, watched


def test_every_item_is_told_of() -> None:
    told: list[tuple[str, str, int, int]] = []
    with watched(lambda *event: told.append(event)):
        for item in each("checking", "sites", [7, 8]):
            assert told[-1] == ("checking", "sites", item - 7, 2)
    assert told[-1] == ("checking", "sites", 2, 2)
    assert list(each("checking", "sites", [7, 8])) == [7, 8]
    assert len(told) == 3


def test_a_stage_of_unknown_length() -> None:
    told: list[tuple[str, str, int, int]] = []
    begin("compiling")
    with watched(lambda *event: told.append(event)):
        begin("compiling")
    assert told == [("compiling", "", 0, 0)]


def test_a_stage_that_is_left_is_not_finished() -> None:
    told: list[int] = []
    with watched(lambda *event: told.append(event[2])), pytest.raises(ZeroDivisionError):
        list(map((1).__floordiv__, each("checking", "sites", [1, 0, 2])))
    assert told == [0, 1]
    assert list(each("checking", "sites", [1])) == [1]  # nobody watches any more
    assert told == [0, 1]
