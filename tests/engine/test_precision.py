"""What a runtime is told of devices and precisions, and what a precision costs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.packages import publish

import ancestral
from ancestral.engine.runtimes import runtime_kind
from ancestral.engine.verify import run_checks


def test_a_gpu_takes_the_place_of_what_samples_on_the_cpu() -> None:
    assert runtime_kind("native") == "native"
    assert runtime_kind("onnx", "cpu") == "onnx"
    if torch.cuda.is_available():
        assert runtime_kind("native", "cuda:0") == "cuda"
    else:
        with pytest.raises(ValueError, match="device cuda:0: torch"):
            runtime_kind("native", "cuda:0")


def test_verify_says_what_a_precision_costs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path, "tiny-wavenet")
    monkeypatch.setenv("ANCESTRAL_PRECISION", "bf16")
    model = ancestral.load("tiny-wavenet", root=tmp_path, runtime="cuda")
    checks = {check.name: check for check in run_checks(model, "cuda", 24)}
    found = checks["precision, bf16"].value
    assert found is not None
    assert 0 < abs(found) < 0.05  # eight bits of mantissa of a network of a few layers
    assert "bf16" in model.fingerprint
