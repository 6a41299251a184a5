"""Each tutorial of the guide carried out as it is written, and the Python of the how-to pages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image
from tests.guide.walk import ROOT, Walk
from tests.page.conftest import browser, new_context

__all__ = ["browser"]
pytestmark = pytest.mark.slow
TUTORIALS = ROOT / "docs" / "tutorials"


def test_circuit_boards(tmp_path: Path) -> None:
    """The figures that the page prints come out, and the map finds nearly every defect."""
    with Walk(TUTORIALS / "boards.md", tmp_path) as walk:
        said = walk.run()
    page = (TUTORIALS / "boards.md").read_text(encoding="utf-8")
    lines = said.splitlines()
    assert "48 of 48 places are less likely with their defect than without it" in lines
    aurocs = [float(line.split()[-1]) for line in lines if line.startswith("AUROC")]
    assert all(f"    AUROC: {auroc:.2f}" in page for auroc in aurocs)
    assert aurocs[1] > aurocs[0]
    detected = [line for line in lines if line.endswith(" of 48") and ": " in line]
    assert len(detected) == 3
    assert all(f"    {line}\n" in page for line in detected)
    found = next(line for line in lines if line.startswith("the brightest spot"))
    assert int(found.split()[-3]) >= 40
    assert len(list((tmp_path / "surprise").rglob("*.png"))) == 96


def test_your_model(tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="its digits are learnt")
    with Walk(TUTORIALS / "your-model.md", tmp_path) as walk:
        said = walk.run()
    assert "refused" in said
    with Image.open(tmp_path / "mine.png") as picture:
        drawn = np.asarray(picture)
    assert drawn.shape == (38, 38)
    assert len(np.unique(drawn)) > 10


def test_speech(tmp_path: Path, browser: Any) -> None:
    with Walk(TUTORIALS / "speech.md", tmp_path) as walk:
        walk.run()
        context = new_context(browser)
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{walk.ports[9000]}/speak.html")
        page.get_by_role("button", name="Say it").click()
        state = page.get_by_role("status")
        state.get_by_text("spoken").wait_for()
        context.close()
    spoken, rate = soundfile.read(tmp_path / "seven.wav")
    assert (rate, len(spoken)) == (8000, 4800)
    again, _ = soundfile.read(tmp_path / "again.wav")
    assert again.std() > 0.01


def test_three_workers(tmp_path: Path) -> None:
    with Walk(TUTORIALS / "three-workers.md", tmp_path) as walk:
        said = walk.run()
    assert "killing worker" in said
    assert "the same values: True" in said
    answers = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert {answer["custom_id"] for answer in answers} == {f"digit-{seed}" for seed in range(30)}
    assert {answer["response"]["status_code"] for answer in answers} == {200}


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("stream", "wavenet-digits"),
        ("embed", ""),
        ("batch", "pixelcnn-circuit-boards"),
        ("complete", "made-ensemble-binary-mnist"),
    ],
)
def test_python_of_the_how_to_pages(name: str, package: str, tmp_path: Path) -> None:
    with Walk(ROOT / "docs" / "how-to" / f"{name}.md", tmp_path) as walk:
        if package:
            walk.blocks.insert(0, ("sh", "", f"ancestral serve --packages {package}\n"))
        walk.run()
