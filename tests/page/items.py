"""Files as a file chooser gives them, and scoring one."""

from __future__ import annotations

import io
import wave
from typing import Any

import numpy as np
import pytest
from PIL import Image


def png(array: np.ndarray) -> dict[str, Any]:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="PNG")
    return {"name": "mine.png", "mimeType": "image/png", "buffer": buffer.getvalue()}


def wav(samples: np.ndarray, rate: int) -> dict[str, Any]:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, rate, len(samples), "NONE", ""))
        file.writeframes(samples.astype("<i2").tobytes())
    return {"name": "mine.wav", "mimeType": "audio/wav", "buffer": buffer.getvalue()}


def rounded(value: Any) -> Any:
    """A figure of three decimals; float32 may have rounded the last one the other way."""
    return pytest.approx(value, abs=1.1e-3)


def scored(tab: Any, item: Any) -> None:
    """Scores a file through the file chooser's input and waits for the result."""
    tab.page.set_input_files("#file", item)
    tab.scored()
