"""Invariants 1 to 4 of the design, over every package in the store and every runtime."""

from __future__ import annotations

from pathlib import Path

import pytest

import ancestral
from ancestral.engine.runtimes import RuntimeKind
from ancestral.engine.verify import verify
from ancestral.store.package import list_packages

STORE = Path(__file__).resolve().parents[2] / "models_store"
PACKAGES = [
    f"{entry.name}/{version}" for entry in list_packages(STORE) for version in entry.versions
]


@pytest.mark.parametrize(
    "kind",
    [
        "native",
        "reference",
        "naive",
        pytest.param("onnx", marks=pytest.mark.slow),
        pytest.param("cuda", marks=pytest.mark.slow),  # on the CPU: called, not captured
    ],
)
@pytest.mark.parametrize("package", PACKAGES)
def test_invariants(package: str, kind: RuntimeKind) -> None:
    model = ancestral.load(package, root=STORE)
    if kind in ("onnx", "cuda") and model.stands_in(kind) != kind:
        pytest.skip("the reference runtime stands in")
    report = verify(model, kind)
    assert [check for check in report.checks if not check.ok] == []
    assert report.derived == (kind != "naive")  # everything shipped is derived
    assert report.runtime == kind
