from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import Run

import ancestral
from ancestral.media import Levels, MuLaw, encode_png, encode_wav

ITEM = np.arange(20).reshape(1, 5, 4) % 4


@pytest.fixture
def image(tmp_path: Path) -> Path:
    file = tmp_path / "item.png"
    file.write_bytes(encode_png([ITEM], Levels(4)))
    return file


def test_score(run: Run, small_store: Path, image: Path) -> None:
    found = run("score", "tiny-pixelcnn", image, "-c", "label=1", "--models", small_store, "--json")
    assert found.status == 0, found.err
    model = ancestral.load("tiny-pixelcnn", small_store)
    (expected,) = model.log_prob(ITEM[None], {"label": 1})
    (result,) = found.json["results"]
    assert result["log_prob"] == pytest.approx(expected.log_prob)
    assert result["bits_per_dim"] == pytest.approx(-expected.log_prob / (20 * np.log(2)))
    assert result["percentile"] is None


def test_marginal_and_map(run: Run, small_store: Path, image: Path, tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    found = run(
        "score", "tiny-pixelcnn", image, "--marginal", "--map", maps, "--models", small_store,
        "--json",
    )  # fmt: skip
    (result,) = found.json["results"]
    assert result["marginal"] is True
    assert result["map"] == str(maps / "item.png")
    with Image.open(maps / "item.png") as picture:
        assert picture.size == (4, 5)


def test_sounds_have_percentiles(run: Run, small_store: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.wav"
    file.write_bytes(encode_wav(np.arange(16), MuLaw(15, 16), 1000))
    found = run("score", "tiny-wavenet", file, "--models", small_store, "--json")
    (result,) = found.json["results"]
    assert (result["percentile"], result["reference_n"]) == (50.0, 2)
    assert "50.0 of 2" in run("score", "tiny-wavenet", file, "--models", small_store).out


def test_one_bad_file_fails_alone(run: Run, small_store: Path, image: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.png"
    cut.write_bytes(image.read_bytes()[:-10])
    options = ("-c", "label=0", "--models", small_store)
    found = run("score", "tiny-pixelcnn", cut, image, tmp_path / "none.png", *options, "--json")
    assert found.status == 1
    first, second, third = found.json["results"]
    assert "cut off" in first["error"]
    assert second["log_prob"] < 0
    assert "No such file" in third["error"]
    table = run("score", "tiny-pixelcnn", cut, image, *options)
    assert table.status == 1
    assert "cut off" in table.out


def test_fit_is_said(run: Run, small_store: Path, tmp_path: Path) -> None:
    file = tmp_path / "large.png"
    Image.new("RGB", (40, 50), (255, 255, 255)).save(file)
    options = ("-c", "label=0", "--models", small_store, "--json")
    assert run("score", "tiny-pixelcnn", file, *options).status == 1
    (result,) = run("score", "tiny-pixelcnn", file, "--fit", *options).json["results"]
    assert result["fit"] == [
        "reduced colour to BT.601 luma",
        "resized 50×40 to 5×4 (antialiased bicubic)",
    ]


def test_folders_csv_and_maps(run: Run, small_store: Path, image: Path, tmp_path: Path) -> None:
    """The table is written file by file; a map lies where its file lies."""
    for name in ("a", "deep/b", "deep/broken"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / f"{name}.png").write_bytes(image.read_bytes())
    (tmp_path / "in" / "deep" / "broken.png").write_bytes(b"no picture")
    table, maps = tmp_path / "out.csv", tmp_path / "maps"
    options = ("--csv", table, "--map", maps, "--models", small_store)
    found = run("score", "tiny-pixelcnn", tmp_path / "in", "-r", "-c", "label=0,1,2", *options)
    assert found.status == 1
    assert "2 scored, 1 failed" in found.out
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [Path(row["file"]).stem for row in rows] == ["a", "b", "broken"]
    model = ancestral.load("tiny-pixelcnn", small_store)
    for row, label in zip(rows[:2], (0, 1), strict=True):
        (expected,) = model.log_prob(ITEM[None], {"label": label})
        assert float(row["log_prob"]) == pytest.approx(expected.log_prob)
    assert "PNG" in rows[2]["error"]
    assert (maps / "a.png").is_file()
    assert rows[1]["map"] == str(maps / "deep" / "b.png")
    one = run("score", "tiny-pixelcnn", tmp_path / "in", "-c", "label=0", *options[4:], "--json")
    assert [Path(result["file"]).stem for result in one.json["results"]] == ["a"]
    few = run("score", "tiny-pixelcnn", tmp_path / "in", "-r", "-c", "label=0,1", *options[4:])
    assert few.status == 2
    assert "one or 3 values are expected" in few.err


def test_a_missing_condition_is_an_error(run: Run, small_store: Path, image: Path) -> None:
    found = run("score", "tiny-pixelcnn", image, "--models", small_store)
    assert found.status == 2
    assert "condition.label" in found.err
