"""The invariants hold whatever the network's parameters mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.packages import publish

import ancestral
from ancestral.engine.verify import verify

REAL = {"kind": "vector", "shape": [6]}
LOGISTIC = {"kind": "discretized-logistic-mixture", "components": 2, "levels": 4}


@pytest.mark.parametrize("kind", ["reference", "naive"])
@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("tiny-made", {"data": REAL, "likelihood": {"kind": "gaussian"}}),
        (
            "tiny-made",
            {"data": REAL, "likelihood": {"kind": "mixture-of-gaussians", "components": 3}},
        ),
        ("tiny-colour", {"likelihood": {**LOGISTIC, "channels": 3}}),
        ("tiny-pixelcnn", {"likelihood": {**LOGISTIC, "channels": 1}}),
        (
            "tiny-wavenet",
            {"likelihood": {"kind": "mixture-of-logistics", "components": 3, "levels": 16}},
        ),
    ],
    ids=["gaussian", "gaussians", "coupled-logistics", "pixel-logistics", "audio-logistics"],
)
def test_invariants(tmp_path: Path, name: str, changes: dict[str, Any], kind: Any) -> None:
    publish(tmp_path, name, **changes)
    report = verify(ancestral.load(name, root=tmp_path), kind)
    assert [check for check in report.checks if not check.ok] == []
