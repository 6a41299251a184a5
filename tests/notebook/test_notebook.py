"""A notebook of the snippets of docs/notebook.md, executed by a kernel of its own."""

from __future__ import annotations

import base64
import io
import json
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
SNIPPET = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHEET = 3 * 28 + 2 * 2  # pixels: three digits across, gaps of two between them
MORE = (
    "model",
    "model.log_prob([three], {'label': 3})[0]",
    "ancestral.load('wavenet-digits').sample("
    "1, sites=200, seed=1, condition={'digit': 3, 'speaker': 1})",
    "import json, numpy\nprint(json.dumps(numpy.asarray(digits.items).tolist()))",
)


@pytest.mark.slow
def test_the_page_on_notebooks_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("nbformat", "nbclient", "ipykernel", "matplotlib"):
        pytest.importorskip(name, reason=f"{name} is not installed")
    from nbclient import NotebookClient
    from nbformat import v4
    from traitlets.config import Config

    monkeypatch.setenv("PYTHONPATH", str(ROOT / "server"))
    monkeypatch.setenv("ANCESTRAL_RUNTIME", "reference")
    snippets = SNIPPET.findall((ROOT / "docs/notebook.md").read_text(encoding="utf-8"))
    cells = [v4.new_code_cell(source) for source in (*snippets, *MORE)]
    with tempfile.TemporaryDirectory() as folder:  # sockets in files: no port is taken meanwhile
        kernel = {"transport": "ipc", "ip": f"{folder}/kernel"}
        NotebookClient(
            v4.new_notebook(cells=cells),
            timeout=600,
            startup_timeout=300,
            kernel_name="python3",
            config=Config({"KernelManager": kernel}),
        ).execute()
    *shown, printed = cells
    sampled, plotted, card, score, sound = map(_shown, shown)

    codes = np.array(json.loads(printed.outputs[0]["text"]))  # [9, 1, 28, 28]
    sheet = _picture(sampled["image/png"])
    scale = len(sheet) // SHEET
    pixels = sheet[scale // 2 :: scale, scale // 2 :: scale]
    for item, (image,) in enumerate(codes):  # three rows of three
        y, x = 30 * (item // 3), 30 * (item % 3)
        np.testing.assert_array_equal(pixels[y : y + 28, x : x + 28], image)
    assert "<img" in sampled["text/html"]
    plot = _picture(plotted["image/png"])
    assert plot.shape[1] > 2 * plot.shape[0]  # three side by side
    assert "Gated PixelCNN on MNIST" in card["text/html"]
    assert "bits/dim" in score["text/html"]
    assert "<img" in score["text/html"]
    assert "<audio" in sound["text/html"]


def _shown(cell: Any) -> dict[str, str]:
    """What a cell shows, by media type."""
    found: dict[str, str] = {}
    for output in cell.outputs:
        found |= output.get("data", {})
    return found


def _picture(png: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(png))).convert("L"))
