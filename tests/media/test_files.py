from __future__ import annotations

from pathlib import Path

import pytest

from ancestral.media import listed


def test_folders_and_files(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.wav", "notes.md", "deep/c.npy", "deep/x.png/keep"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    here = [tmp_path / "a.wav", tmp_path / "b.PNG"]
    assert listed([tmp_path], recursive=False) == here
    assert listed([tmp_path], recursive=True) == [*here, tmp_path / "deep" / "c.npy"]
    assert listed([tmp_path / "any.json"], recursive=False) == [tmp_path / "any.json"]
    (tmp_path / "deep" / "c.npy").unlink()
    with pytest.raises(ValueError, match=r"holds no PNG.*--recursive"):
        listed([tmp_path / "deep"], recursive=False)
