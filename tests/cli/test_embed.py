from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.cli.conftest import Run
from tests.packages import publish

import ancestral

ITEM = np.arange(16).reshape(1, 4, 4) % 2


def test_embed(run: Run, tmp_path: Path) -> None:
    publish(tmp_path, "tiny-gpt")
    np.save(tmp_path / "item.npy", ITEM)
    shared = ("embed", "tiny-gpt", tmp_path / "item.npy", "--models", tmp_path)
    found = run(*shared, "--json", "-o", tmp_path / "out.npy")
    assert found.status == 0, found.err
    expected = ancestral.load("tiny-gpt", tmp_path).embed(ITEM[None])
    assert found.json["layer"] == 1
    assert np.array(found.json["embeddings"]) == pytest.approx(expected)
    assert (np.load(tmp_path / "out.npy") == expected).all()
    refused = run(*shared, "--layer", "3", "--json")
    assert refused.status == 2
    assert "1 to 2" in refused.err
    assert "--output" in run(*shared).err
