"""Text files in and out of the command."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import Run
from tests.packages import publish

import ancestral


def test_a_text_is_drawn_continued_and_scored(run: Run, tmp_path: Path) -> None:
    publish(tmp_path, "tiny-char-rnn")
    model = ancestral.load("tiny-char-rnn", tmp_path)
    prompt, target = tmp_path / "prompt.txt", tmp_path / "out.txt"
    prompt.write_text("ba[")
    options = ("--seed", 4, "--sites", 12, "--models", tmp_path)
    found = run("sample", "tiny-char-rnn", "-o", target, "--prefix", prompt, *options)
    assert found.status == 0, found.err
    codes = model.sample(1, seed=4, sites=12, prefix=[3, 2, 5]).items[0]
    assert target.read_text() == "".join("\n abé["[code] for code in codes)
    found = run("score", "tiny-char-rnn", target, "--models", tmp_path, "--json")
    (expected,) = model.log_prob(codes[None])
    assert found.json["results"][0]["log_prob"] == pytest.approx(expected.log_prob)


def test_a_text_of_other_characters_fails_alone(run: Run, tmp_path: Path) -> None:
    publish(tmp_path, "tiny-char-rnn")
    good, bad = tmp_path / "good.txt", tmp_path / "bad.txt"
    good.write_text("ab")
    bad.write_text("abc")
    found = run("score", "tiny-char-rnn", good, bad, "--models", tmp_path, "--json")
    assert found.status == 1
    results = found.json["results"]
    assert results[0]["log_prob"] < 0
    assert "character 'c' (U+0063), at 2 in line 1" in results[1]["error"]
