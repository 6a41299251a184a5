from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.packages import TINY, publish

import ancestral
from ancestral.bench import measure
from ancestral.bench.machine import Machine
from ancestral.engine import verify as verification
from ancestral.engine.verify import Check, verify


def test_lengths_are_of_whole_frames(tmp_path: Path) -> None:
    publish(tmp_path, "tiny-wavernn")
    model = ancestral.load("tiny-wavernn", root=tmp_path)
    report = verify(model, sites=20)
    assert report.ok
    assert report.sites == 24  # a value for every six
    (row,) = measure(model, Machine(1, 1e9, "", "wall"), (2,), sites=20)
    assert row.sites == 24


@pytest.mark.parametrize("name", TINY)
def test_derived_samplers_hold_every_invariant(tmp_path: Path, name: str) -> None:
    publish(tmp_path, name)
    report = verify(ancestral.load(name, root=tmp_path))
    assert [check for check in report.checks if not check.ok] == []
    assert report.derived
    assert [check.name for check in report.checks] == [
        "derived",
        "step parity, float64",
        "step parity, float32",
        "arithmetic",
        "one likelihood, by site",
        "one likelihood, total",
        "neighbour independence",
        "seeds",
        "prefix and replay",
    ]
    assert report.to_json()["ok"] is True


def test_naive_sampler_holds_those_that_apply(tmp_path: Path) -> None:
    publish(tmp_path, "tiny-colour")
    report = verify(ancestral.load("tiny-colour", root=tmp_path), "naive")
    assert report.ok
    assert (report.runtime, report.derived) == ("naive", False)
    assert "derived" not in [check.name for check in report.checks]


def by_name(name: str, checks: tuple[Check, ...]) -> Check:
    return next(check for check in checks if check.name == name)


def test_a_network_that_reads_its_future_is_reported_with_the_path(tmp_path: Path) -> None:
    publish(tmp_path, "tiny-made")
    model = ancestral.load("tiny-made", root=tmp_path)
    for buffer in model.network.buffers():
        buffer.fill_(1)  # every mask open
    report = verify(model)
    assert not report.ok
    assert not report.checks[0].ok
    assert "not causal" in report.checks[0].detail
    assert "made.py" in report.checks[0].detail


def test_params_that_differ_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(tmp_path, "tiny-gpt")
    model = ancestral.load("tiny-gpt", root=tmp_path)
    real = verification.step_params

    def off(*arguments: object) -> torch.Tensor:
        params = real(*arguments)  # type: ignore[arg-type]
        params[7] += 1e-6
        return params

    monkeypatch.setattr(verification, "step_params", off)
    report = verify(model)
    assert not by_name("step parity, float64", report.checks).ok
    assert by_name("step parity, float32", report.checks).ok
