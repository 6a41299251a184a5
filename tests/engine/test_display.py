"""What IPython's display formatter, and so a notebook, gets of models, samples and scores."""

from __future__ import annotations

import io
import re
from base64 import b64decode
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from IPython.core.formatters import DisplayFormatter
from PIL import Image
from tests.packages import publish

import ancestral
from ancestral.engine.model import Model
from ancestral.engine.sampling import Samples


def shown(value: Any) -> dict[str, Any]:
    found, _ = DisplayFormatter().format(value)
    return found


def files(html: str) -> list[tuple[str, bytes]]:
    """The files that a piece of HTML holds in itself: media type and contents."""
    found = re.findall(r'(?:src|href)="data:([a-z/-]+);base64,([^"]+)"', html)
    return [(kind, b64decode(body)) for kind, body in found]


def samples(model: Model, items: Any) -> Samples:
    """What `sample` would give, had it drawn these."""
    score = np.full(len(items), -3.0)
    return Samples(np.asarray(items), score, score, -score, 7, "", True, data=model.manifest.data)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("store")
    for name in ("tiny-pixelcnn", "tiny-wavenet", "tiny-made", "tiny-char-rnn"):
        publish(root, name)
    card = root / "tiny-pixelcnn" / "1" / "README.md"
    card.write_text("# Tiny <script>alert(1)</script>\n\nDigits & *more*.\n")
    return root


def test_a_model_is_its_card(store: Path) -> None:
    html = shown(ancestral.load("tiny-pixelcnn", store))["text/html"]
    assert "Tiny &lt;script&gt;" in html
    assert "<script" not in html
    assert "Digits &amp; more." in html
    for part in ("tiny-pixelcnn/1", "image 1×5×4, 4 levels", "label (label, 3 classes)"):
        assert part in html


def test_pictures_are_a_grid(store: Path) -> None:
    model = ancestral.load("tiny-pixelcnn", store)
    items = np.random.default_rng(0).integers(0, 4, (3, 1, 5, 4))
    found = shown(samples(model, items))
    ((kind, png),) = files(found["text/html"])
    assert kind == "image/png"
    for body in (png, found["image/png"]):
        with Image.open(io.BytesIO(body)) as sheet:
            pixels = np.asarray(sheet)
        assert pixels.shape == (12, 10)
        np.testing.assert_array_equal(pixels[:5, :4], items[0, 0] * 85)
        np.testing.assert_array_equal(pixels[7:, :4], items[2, 0] * 85)
    assert "seed 7; 3.000, 3.000, 3.000 bits/dim" in found["text/html"]


def test_sounds_have_players(store: Path) -> None:
    model = ancestral.load("tiny-wavenet", store)
    items = np.random.default_rng(1).integers(0, 16, (12, 30))
    found = shown(samples(model, items))
    assert found["text/html"].count("<audio controls") == 8
    assert "and 4 more" in found["text/html"]
    kind, wav = files(found["text/html"])[1]
    assert kind == "audio/wav"
    amplitudes, rate = soundfile.read(io.BytesIO(wav))
    assert rate == 1000
    codec: Any = model.manifest.data.media_codec
    np.testing.assert_allclose(amplitudes, codec.decode(items[1]), atol=2**-15)
    assert "image/png" not in found


def test_texts_and_numbers(store: Path) -> None:
    text = ancestral.load("tiny-char-rnn", store)
    assert "<pre>a bé[</pre>" in shown(samples(text, [[2, 1, 3, 4, 5]]))["text/html"]
    numbers = ancestral.load("tiny-made", store)
    assert "<pre>[1 0 1 1 0 1]</pre>" in shown(samples(numbers, [[1, 0, 1, 1, 0, 1]]))["text/html"]


def test_music_can_be_saved() -> None:
    from ancestral.engine.display import item_html
    from ancestral.store.manifest import Data

    data = Data.model_validate(
        {
            "kind": "sequence",
            "levels": 128,
            "codec": {"kind": "midi"},
            "length": {"default": 8, "maximum": 8},
        }
    )
    ((kind, midi),) = files(item_html(np.array([60, 60, 64, 0]), data))
    assert kind == "audio/midi"
    assert midi.startswith(b"MThd")


def test_a_score_shows_where(store: Path) -> None:
    model = ancestral.load("tiny-pixelcnn", store)
    (score,) = model.log_prob(np.zeros((1, 1, 5, 4), dtype=int), {"label": 1})
    found = shown(score)
    assert len(found["text/plain"]) < 300
    assert f"{score.log_prob:.3f} nats" in found["text/html"]
    ((_, png),) = files(found["text/html"])
    with Image.open(io.BytesIO(png)) as picture:
        assert picture.size == (4, 5)
    np.testing.assert_array_equal(score.map.reshape(-1), score.per_dim[:, 0])
