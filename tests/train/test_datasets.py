"""Data sets by name and by folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tests.train.recipes import LABEL, stripes, write_pictures, write_recipe

from ancestral.media.mel import LogMel
from ancestral.store import load_package
from ancestral.train import DataError, read_recipe, train
from ancestral.train.datasets import VARIABLE, Split, load

RECIPES = Path(__file__).parents[2] / "models_store" / "recipes"
ZEROS = "0" * 64


def test_a_folder_is_split_by_file_names(tmp_path: Path) -> None:
    recipe = read_recipe(write_recipe(tmp_path))
    data = load(recipe, write_pictures(tmp_path / "own"))
    assert (len(data.train), len(data.valid), len(data.test)) == (32, 4, 4)
    np.testing.assert_array_equal(data.valid.items[1][0], stripes(40)[10])
    np.testing.assert_array_equal(data.test.items[1][0], stripes(40)[11])
    assert "own" in data.description


def test_labels_are_the_names_of_folders(tmp_path: Path) -> None:
    recipe = read_recipe(write_recipe(tmp_path, "", LABEL))
    for label in "01":
        write_pictures(tmp_path / "own" / label, 20)
    data = load(recipe, tmp_path / "own")
    assert data.test.conditions[0].tolist() == [0, 0, 1, 1]
    write_pictures(tmp_path / "own" / "cats", 1)
    with pytest.raises(DataError, match="named with a class, 0 to 1"):
        load(recipe, tmp_path / "own")


def test_folders_may_have_the_names_of_classes(tmp_path: Path) -> None:
    named = LABEL.replace("classes = 2", 'classes = 2\nnames = ["dogs", "cats"]')
    recipe = read_recipe(write_recipe(tmp_path, "", named))
    for label in ("cats", "dogs"):
        write_pictures(tmp_path / "own" / label, 20)
    assert load(recipe, tmp_path / "own").test.conditions[0].tolist() == [1, 1, 0, 0]
    write_pictures(tmp_path / "own" / "pigs", 1)
    with pytest.raises(DataError, match="named with a class, dogs, cats, or 0 to 1"):
        load(recipe, tmp_path / "own")


def test_a_file_that_does_not_fit_is_named(tmp_path: Path) -> None:
    recipe = read_recipe(write_recipe(tmp_path, "shape = [1, 4, 4]", "shape = [1, 4, 5]"))
    with pytest.raises(DataError, match=r"000\.png: .*4"):
        load(recipe, write_pictures(tmp_path / "own"))


def test_few_files_are_refused(tmp_path: Path) -> None:
    recipe = read_recipe(write_recipe(tmp_path))
    with pytest.raises(DataError, match=r"holds 7 .* 30 are the least"):
        load(recipe, write_pictures(tmp_path / "own", 7))
    with pytest.raises(DataError, match="no such folder"):
        load(recipe, tmp_path / "elsewhere")


def test_a_named_set_must_be_the_one_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = read_recipe(write_recipe(tmp_path))
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(DataError, match=f"set {VARIABLE}"):
        load(recipe, None)
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(DataError, match="no such file"):
        load(recipe, None)
    bits = np.packbits(np.zeros((6, 784), dtype=np.uint8), axis=1)
    np.savez(tmp_path / "none.npz", train=bits, valid=bits[:2], test=bits[:3])
    with pytest.raises(DataError, match="has SHA-256"):
        load(recipe, None)
    digest = hashlib.sha256((tmp_path / "none.npz").read_bytes()).hexdigest()
    data = load(read_recipe(write_recipe(tmp_path, ZEROS, digest)), None)
    assert (len(data.train), len(data.valid), len(data.test)) == (6, 2, 3)
    assert data.train.items[0].shape == (1, 28, 28)


@pytest.mark.parametrize(
    ("name", "sizes", "shape"),
    [
        ("gated-pixelcnn-mnist", (55000, 5000, 10000), (1, 28, 28)),
        ("made-binary-mnist", (50000, 10000, 10000), (1, 28, 28)),
        ("pixelcnn-circuit-boards", (16760, 883, 1486), (1, 32, 32)),
        ("wavenet-digits", (2610, 90, 300), None),
        ("wavernn-voice", (10984, 393, 268), None),
    ],
)
def test_shipped_recipes_read_their_data(
    name: str,
    sizes: tuple[int, int, int],
    shape: tuple[int, ...] | None,
    data_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(VARIABLE, str(data_folder))
    recipe = read_recipe(RECIPES / f"{name}.toml")
    data = load(recipe, None)
    assert (len(data.train), len(data.valid), len(data.test)) == sizes
    codes, labels = data.test.batch([0])
    assert shape is None or codes.shape[1:] == shape
    assert 0 <= int(codes.min()) <= int(codes.max()) < (recipe.data.levels or 0)
    assert len(labels) == len(recipe.conditions)


def test_runs_hold_items_of_one_shape() -> None:
    items = [np.zeros(size) for size in (3, 3, 3, 2, 2, 5)]
    split = Split(items)
    assert list(split.runs(6, 2)) == [(0, 2), (2, 1), (3, 2), (5, 1)]
    assert list(split.runs(4, 9)) == [(0, 3), (3, 1)]


VOCODER = (
    ('family = "made"', 'family = "wavernn"'),
    ("hidden = [12]", "width = 6\nhidden = 5\nscales = [2, 3]\nfeatures = 4\nblocks = 1"),
    (
        'kind = "image"\nshape = [1, 4, 4]\nlevels = 2',
        'kind = "audio"\nlevels = 16\nsample_rate = 1000\nlength = {default = 30, maximum = 60}\n'
        'codec = {kind = "linear", levels = 16}',
    ),
    ("steps = 30", "steps = 30\nlongest = 24"),
    ('kind = "bernoulli"', 'kind = "categorical"\nlevels = 16'),
)
FRAMES = """
[[conditions]]
name = "mel"
kind = "series"
channels = 3
hop = 6
frames = {kind = "log-mel", window = 24, lowest = 0.0, highest = 500.0, floor = 1e-6}
"""


def test_frames_of_a_folder_of_sounds_train_a_vocoder(tmp_path: Path) -> None:
    text = write_recipe(tmp_path, "", FRAMES).read_text(encoding="utf-8")
    for old, new in VOCODER:
        assert old in text
        text = text.replace(old, new, 1)
    file = tmp_path / "vocoder.toml"
    file.write_text(text, encoding="utf-8")
    generator = np.random.default_rng(0)
    own = tmp_path / "own"
    own.mkdir()
    for number in range(30):
        sound = generator.normal(0, 0.2, 26 + number).clip(-0.9, 0.9)
        soundfile.write(own / f"{number:02}.wav", sound, 1000, subtype="PCM_16")
    data = load(read_recipe(file), own)
    assert [len(item) for item in data.valid.items] == [24, 36, 42]
    sound, _ = soundfile.read(own / "10.wav")
    measure = LogMel(rate=1000, hop=6, window=24, bands=3, lowest=0, highest=500, floor=1e-6)
    _, (series,) = data.valid.batch([1])
    np.testing.assert_allclose(series[0], measure(sound))
    path = train(file, data=own, output=tmp_path / "store", progress=False)
    reference = load_package(path).manifest.reference
    assert reference is not None
    assert np.isfinite(reference.scores).all()
