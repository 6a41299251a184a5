"""Clients of a real server over a few tiny packages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.api.conftest import server
from tests.api.server import Server
from tests.clients.proxy import Proxy
from tests.packages import MU_LAW, publish

from ancestral_client import Client

__all__ = ["server"]

ENDLESS = 50_000_000  # sites, minutes of drawing: such a job ends when its test ends it


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures, bits, text, and a sound that is long enough to be interrupted."""
    root = tmp_path_factory.mktemp("store")
    for name in ("tiny-pixelcnn", "tiny-made", "tiny-char-rnn", "tiny-gpt", "tiny-wavernn"):
        publish(root, name)
    sound = {
        "kind": "audio",
        "levels": 16,
        "codec": MU_LAW,
        "sample_rate": 1000,
        "length": {"default": 400, "maximum": ENDLESS},
    }
    publish(root, "tiny-wavenet", data=sound)
    publish(  # stands for the shipped package that the clients' READMEs name
        root,
        "tiny-pixelcnn",
        name="pixelcnn-binary-mnist",
        data={"kind": "image", "shape": [1, 28, 28], "levels": 2},
        likelihood={"kind": "categorical", "levels": 2},
        conditions=[],
        reference={"unit": "nats", "scores": [0.0] * 10},
    )
    return root


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with Client(server.url) as found:
        yield found


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    """A way to the server that can be interrupted."""
    with Proxy(server.url) as found:
        yield found
