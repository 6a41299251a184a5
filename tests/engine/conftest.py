from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from tests.packages import MU_LAW, TINY, publish

import ancestral
from ancestral.engine.metrics import WorkerMetrics


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("packages")
    for name in TINY:
        publish(root, name)
    sound = {
        "kind": "audio",
        "levels": 16,
        "codec": MU_LAW,
        "sample_rate": 1000,
        "length": {"default": 1000, "maximum": 200_000},
    }
    publish(root, "tiny-wavenet", name="long-wavenet", data=sound)
    return root


@pytest.fixture(scope="session")
def pixelcnn(packages: Path) -> ancestral.Model:
    return ancestral.load("tiny-pixelcnn", root=packages)


@pytest.fixture(scope="session")
def wavenet(packages: Path) -> ancestral.Model:
    return ancestral.load("long-wavenet", root=packages)


@pytest.fixture
def metrics() -> WorkerMetrics:
    return WorkerMetrics(CollectorRegistry())
