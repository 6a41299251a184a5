"""What a terminal shows, read back from its escape sequences."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from rich.console import Console
from tests.cli.conftest import Run
from tests.packages import publish

import ancestral
from ancestral.cli.preview import BARS, Picture, preview, sparkline, waveform
from ancestral.cli.watch import BLANK, Canvas
from ancestral.engine.sampling import Chunk
from ancestral.media import Levels, Linear, Text

BLOCK = re.compile(r"\x1b\[38;2;(\d+);(\d+);(\d+);48;2;(\d+);(\d+);(\d+)m(▀+)")


def terminal(width: int = 80, height: int = 40) -> Console:
    return Console(
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        width=width,
        height=height,
    )


def shown(console: Console, renderable: object) -> str:
    with console.capture() as captured:
        console.print(renderable)
    return captured.get()


def pixels(text: str) -> npt.NDArray[np.int64]:
    """The picture [H, W, 3] of half blocks."""
    lines = [
        [colours for *colours, blocks in BLOCK.findall(line) for _ in blocks]
        for line in text.splitlines()
    ]
    rows = [np.array(line).astype(np.int64) for line in lines if line]
    halves = np.stack(rows).reshape(len(rows), -1, 2, 3)  # [H/2, W, 2, 3]
    return halves.transpose(0, 2, 1, 3).reshape(2 * len(rows), -1, 3)


def test_half_blocks() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (3, 5, 4), dtype=np.uint8)
    found = pixels(shown(terminal(), Picture(picture)))
    np.testing.assert_array_equal(found[:5], picture.transpose(1, 2, 0))
    assert (found[5] == 0).all()  # the lower half of the last row
    grey = pixels(shown(terminal(), Picture(picture[:1, :4])))
    np.testing.assert_array_equal(grey, np.repeat(picture[0, :4, :, None], 3, axis=-1))


def test_a_wide_picture_is_shrunk() -> None:
    halves = np.repeat(np.array([0, 250], np.uint8), 100)[None, None].repeat(8, axis=1)
    found = pixels(shown(terminal(width=50), Picture(halves)))
    assert found.shape == (2, 50, 3)
    assert (found[:, :25] == 0).all()
    assert (found[:, 25:] == 250).all()


def test_without_colours() -> None:
    console = Console(file=io.StringIO(), width=80)
    picture = np.array([[[0, 255, 0, 255], [0, 0, 255, 255]]], np.uint8)
    assert shown(console, Picture(picture)) == " ▀▄█\n"


def test_bars() -> None:
    assert sparkline(np.arange(8), 80) == BARS
    assert sparkline(np.repeat(np.arange(8), 3), 8) == BARS
    assert sparkline(np.full(3, 7.0), 80) == "▁▁▁"
    assert waveform(np.array([0.0, -1.0, 0.5, 0.0]), 2).plain == "█▅"


def test_what_is_shown() -> None:
    console = terminal()
    digits = [np.full((1, 28, 28), level) for level in (0, 1, 1, 0, 1, 0, 1)]
    found = pixels(shown(console, preview(digits, Levels(2), console)))
    assert found.shape == (58, 58, 3)  # 2 × 2: 40 rows have room for no third, 80 columns neither
    assert "aba" in shown(console, preview([np.array([0, 1, 0])], Text("ab"), console))
    assert BARS[-1] in shown(console, preview([np.array([0, 15, 7])], Linear(16), console))
    assert preview([np.zeros((2, 4, 4), int)], Levels(2), console) is None


def chunk(item: int, first_site: int, values: npt.ArrayLike) -> Chunk:
    array = np.asarray(values).reshape(-1, 1)
    return Chunk(item, first_site, array, np.zeros(array.shape), array < 0, False)


def test_a_canvas_fills_as_values_come(small_store: Path) -> None:
    model = ancestral.load("tiny-pixelcnn", small_store)
    console = terminal()
    canvas = Canvas(model, 2, 20, 4, console)
    items = np.random.default_rng(1).integers(0, 4, (2, 5, 4))
    assert (pixels(shown(console, canvas))[:5, :4] == BLANK).all()
    canvas.add(chunk(4, 0, items[0].reshape(-1)[:7]))
    some = pixels(shown(console, canvas))[:5, :4].reshape(20, 3)
    assert (some[:7, 0] == items[0].reshape(-1)[:7] * 85).all()
    assert (some[7:] == BLANK).all()
    canvas.add(chunk(5, 0, items[1]))
    canvas.add(chunk(4, 7, items[0].reshape(-1)[7:]))
    whole = pixels(shown(console, canvas))[:5, :, 2]
    np.testing.assert_array_equal(whole[:, :4], items[0] * 85)
    np.testing.assert_array_equal(whole[:, 6:], items[1] * 85)


def test_other_kinds_are_watched(tmp_path: Path) -> None:
    console = terminal(width=12)
    marks = {"tiny-wavenet": "█▁█", "tiny-made": "▁▁▁▁█▁", "tiny-char-rnn": "aba"}
    for name, mark in marks.items():
        publish(tmp_path, name, conditions=[])
        canvas = Canvas(ancestral.load(name, tmp_path), 1, 6, 0, console)
        assert not set(shown(console, canvas)) & set("█ab")
        first = {"tiny-wavenet": [15, 8, 0], "tiny-made": [1, 0, 0], "tiny-char-rnn": [2, 3, 2]}
        canvas.add(chunk(0, 0, first[name]))
        assert mark in shown(console, canvas)


def test_the_command_paints(
    run: Run, small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("TERM", "xterm-256color")
    target = tmp_path / "out.png"
    options = ("-o", target, "-c", "label=2", "--seed", 7, "--models", small_store)
    found = run("sample", "tiny-pixelcnn", "--watch", "--preview", *options)
    assert found.status == 0, found.err
    with Image.open(target) as image:
        expected = np.asarray(image)
    np.testing.assert_array_equal(pixels(found.out)[:5, :, 0], expected)
    painted = pixels(found.err)[-6:-1, :, 0]
    np.testing.assert_array_equal(painted, expected)
    assert re.search(r"[\d.]+ sites/(s|min)", found.err)
    scored = run("score", "tiny-pixelcnn", target, "--preview", *options[2:4], *options[6:])
    assert pixels(scored.out).shape[0] == 6
