"""Invariants 1 to 4 of the design, over every package in the store and every runtime."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

import ancestral
from ancestral.engine.runtimes import RuntimeKind
from ancestral.engine.verify import verify
from ancestral.store.versions import list_packages

STORE = Path(__file__).resolve().parents[2] / "models_store"
PACKAGES = [
    f"{entry.name}/{version}" for entry in list_packages(STORE) for version in entry.versions
]


# by torch operators, element by element, under several orders: minutes each
LONG = ("diagonal-bilstm", "lmconv", "made-ensemble", "pixelcnn-pp", "row-lstm")
# on onnx, and on cuda (here called, not captured): items of few sites, and the beginnings of long
# ones; `ancestral verify --runtime onnx` takes them all
SHORT = (
    "causal-conv-drums", "char-rnn-shakespeare", "distaug-digits8", "image-transformer-digits8",
    "pixelsnail-digits8", "sparse-transformer-chorales", "wavenet-digits",
)  # fmt: skip
ELEMENTS = ("made-binary-mnist", "pixelcnn-pp-cifar")  # on cuda: programs over elements
BEGINNING = 96  # sites


def cases() -> Iterator[Any]:
    """Every package on every runtime for the CPU, some on the others; what is long is slow."""
    for package in PACKAGES:
        for kind in get_args(RuntimeKind):
            other = kind in ("onnx", "cuda")
            wanted = (*SHORT, *ELEMENTS) if kind == "cuda" else SHORT
            if other and not package.startswith(wanted):
                continue
            long = other or (kind == "reference" and package.startswith(LONG))
            marks = [pytest.mark.slow, pytest.mark.timeout(3600)] if long else []
            yield pytest.param(package, kind, marks=marks)


@pytest.mark.parametrize(("package", "kind"), list(cases()))
def test_invariants(package: str, kind: RuntimeKind) -> None:
    model = ancestral.load(package, root=STORE)
    short = kind in ("onnx", "cuda") and not model.data.shape
    report = verify(model, kind, sites=BEGINNING if short else None)
    assert [check for check in report.checks if not check.ok] == []
    assert report.derived == (kind != "naive")  # everything shipped is derived
    assert report.runtime == kind
