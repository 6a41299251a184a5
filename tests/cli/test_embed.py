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


def test_folders(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the files' names, however many a pass takes."""
    monkeypatch.setattr("ancestral.engine.files.BATCH", 2)
    publish(tmp_path / "store", "tiny-gpt")
    items = np.random.default_rng(0).integers(0, 2, (3, 1, 4, 4))
    (tmp_path / "in" / "b").mkdir(parents=True)
    for name, item in zip(("a", "b/a", "b/b"), items, strict=True):
        np.save(tmp_path / "in" / f"{name}.npy", item)
    shared = ("embed", "tiny-gpt", tmp_path / "in", "--models", tmp_path / "store", "--json")
    found = run(*shared, "-r").json
    expected = ancestral.load("tiny-gpt", tmp_path / "store").embed(items)
    np.testing.assert_allclose(found["embeddings"], expected, atol=1e-6)
    assert [Path(file).stem for file in found["files"]] == ["a", "a", "b"]


def test_a_file_that_cannot_be_read_fails_alone(run: Run, tmp_path: Path) -> None:
    publish(tmp_path / "store", "tiny-gpt")
    (tmp_path / "in").mkdir()
    np.save(tmp_path / "in" / "b.npy", ITEM)
    (tmp_path / "in" / "a.png").write_bytes(b"no picture")
    shared = ("embed", "tiny-gpt", tmp_path / "in", "--models", tmp_path / "store")
    expected = ancestral.load("tiny-gpt", tmp_path / "store").embed(ITEM[None])

    found = run(*shared, "-o", tmp_path / "out.npy")
    assert found.status == 1
    assert "a.png" in found.err
    written = np.load(tmp_path / "out.npy")
    assert np.isnan(written[0]).all()
    np.testing.assert_allclose(written[1:], expected, atol=1e-6)

    document = run(*shared, "--json")
    assert document.status == 1
    assert [Path(file).name for file in document.json["errors"]] == ["a.png"]
    (none, vector) = document.json["embeddings"]
    assert none is None
    np.testing.assert_allclose([vector], expected, atol=1e-6)

    (tmp_path / "in" / "b.npy").unlink()
    found = run(*shared, "-o", tmp_path / "none.npy")
    assert found.status == 1
    assert not (tmp_path / "none.npy").exists()
