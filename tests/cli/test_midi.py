"""MIDI files in and out of the command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.cli.conftest import Run
from tests.packages import publish

import ancestral
from ancestral.media.midi import Midi


def test_music_is_drawn_continued_and_scored(run: Run, tmp_path: Path) -> None:
    publish(tmp_path, "tiny-chorales")
    model = ancestral.load("tiny-chorales", tmp_path)
    codec = Midi(voices=2, steps=4)
    prompt, target = tmp_path / "prompt.mid", tmp_path / "out.mid"
    prompt.write_bytes(codec.decode(np.array([60, 0, 60, 48])))
    options = ("--seed", 4, "--sites", 12, "--count", 2, "--models", tmp_path)
    found = run("sample", "tiny-chorales", "-o", target, "--prefix", prompt, *options)
    assert found.status == 0, found.err
    items = model.sample(2, seed=4, sites=12, prefix=[60, 0, 60, 48]).items
    for path, item in zip((target, tmp_path / "out-1.mid"), items, strict=True):
        np.testing.assert_array_equal(codec.encode(path.read_bytes(), fit=False)[0], item)
    found = run("score", "tiny-chorales", target, "--models", tmp_path, "--json")
    (expected,) = model.log_prob(items[:1])
    assert found.json["results"][0]["log_prob"] == pytest.approx(expected.log_prob)
