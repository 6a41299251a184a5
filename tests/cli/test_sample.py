from __future__ import annotations

import io
import json
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image
from tests.cli.conftest import Run
from tests.packages import LABEL, publish

import ancestral
from ancestral.engine.recordings import read_condition


def test_images(run: Run, small_store: Path, tmp_path: Path) -> None:
    """The command writes what the library draws."""
    target = tmp_path / "out.png"
    options = ("--seed", 7, "-c", "label=2", "--models", small_store)
    found = run("sample", "tiny-pixelcnn", "-o", target, *options, "--json")
    assert found.status == 0, found.err
    model = ancestral.load("tiny-pixelcnn", small_store)
    expected = model.sample(1, seed=7, condition={"label": 2})
    with Image.open(target) as image:
        pixels = np.asarray(image)
    assert (pixels == expected.items[0, 0] * 85).all()
    assert found.json["log_prob"] == pytest.approx(expected.log_prob.tolist())
    assert found.json["seed"] == 7
    assert found.json["derived"] is True
    assert found.json["fingerprint"] == model.fingerprint


def test_a_picture_being_painted(run: Run, small_store: Path, tmp_path: Path) -> None:
    options = ("--seed", 7, "-c", "label=2", "--models", small_store)
    assert run("sample", "tiny-pixelcnn", "-o", tmp_path / "o.gif", *options).status == 0
    assert run("sample", "tiny-pixelcnn", "-o", tmp_path / "o.png", *options).status == 0
    with Image.open(tmp_path / "o.gif") as moving, Image.open(tmp_path / "o.png") as still:
        moving.seek(moving.n_frames - 1)
        last = moving.convert("L").resize(still.size, Image.Resampling.NEAREST)
        assert (np.asarray(last) == np.asarray(still)).all()


def test_grids_labels_by_item_and_arrays(run: Run, small_store: Path, tmp_path: Path) -> None:
    options = ("-n", 3, "--seed", 1, "-c", "label=0,1,2", "--models", small_store)
    assert run("sample", "tiny-pixelcnn", "-o", tmp_path / "o.png", *options).status == 0
    with Image.open(tmp_path / "o.png") as sheet:
        assert sheet.size == (2 * 6 - 2, 2 * 7 - 2)
    assert run("sample", "tiny-pixelcnn", "-o", tmp_path / "o.npy", *options).status == 0
    items = np.load(tmp_path / "o.npy")
    assert items.shape == (3, 1, 5, 4)
    assert run("sample", "tiny-pixelcnn", "-o", tmp_path / "o.json", *options).status == 0
    assert json.loads((tmp_path / "o.json").read_text()) == items.tolist()


def test_classes_by_their_names(run: Run, tmp_path: Path) -> None:
    publish(tmp_path, "tiny-pixelcnn", conditions=[{**LABEL, "names": ["cat", "dog", "sea horse"]}])
    options = ("--seed", 1, "--models", tmp_path, "--json")
    named = run("sample", "tiny-pixelcnn", "-n", 3, "-c", "label=sea horse, cat,1",
                "-o", tmp_path / "named.npy", *options)  # fmt: skip
    assert named.status == 0, named.err
    run("sample", "tiny-pixelcnn", "-n", 3, "-c", "label=2,0,1", "-o", tmp_path / "o.npy", *options)
    assert (np.load(tmp_path / "named.npy") == np.load(tmp_path / "o.npy")).all()


def test_sounds(run: Run, small_store: Path, tmp_path: Path) -> None:
    found = run(
        "sample", "tiny-wavenet", "-n", 2, "--seconds", 0.05, "--seed", 3,
        "-o", tmp_path / "a.wav", "--models", small_store, "--json",
    )  # fmt: skip
    assert found.status == 0, found.err
    assert found.json["files"] == [str(tmp_path / "a.wav"), str(tmp_path / "a-1.wav")]
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert (file.getframerate(), file.getnframes()) == (1000, 50)


def test_a_prefix_is_kept(run: Run, small_store: Path, tmp_path: Path) -> None:
    first = tmp_path / "first.npy"
    np.save(first, np.arange(16))
    run(
        "sample", "tiny-wavenet", "--prefix", first, "--keep", 10, "--sites", 30, "--seed", 1,
        "-o", tmp_path / "b.npy", "--models", small_store,
    )  # fmt: skip
    assert np.load(tmp_path / "b.npy")[0, :10].tolist() == list(range(10))


def test_a_series_is_read_from_a_file(run: Run, small_store: Path, tmp_path: Path) -> None:
    """Frames as an array, or of a recording: the sound lasts as long."""
    sound = 0.5 * np.sin(np.arange(50) / 3)
    soundfile.write(tmp_path / "sound.wav", sound, 1000, subtype="PCM_16")
    model = ancestral.load("tiny-wavernn", small_store)
    frames, _ = read_condition((tmp_path / "sound.wav").read_bytes(), "mel", model.manifest)
    np.save(tmp_path / "frames.npy", frames)
    expected = model.sample(1, seed=4, condition={"mel": frames}).items[0]
    assert len(expected) == 54
    for file in ("sound.wav", "frames.npy"):
        target = tmp_path / "out.npy"
        options = ("-c", f"mel={tmp_path / file}", "--seed", 4, "--models", small_store)
        found = run("sample", "tiny-wavernn", "-o", target, *options)
        assert found.status == 0, found.err
        np.testing.assert_array_equal(np.load(target)[0], expected)
    options = ("-c", f"mel={tmp_path / 'sound.wav'}", "--models", small_store, "--json")
    found = run("score", "tiny-wavernn", tmp_path / "sound.wav", *options)
    assert found.status == 0, found.err
    assert found.json["results"][0]["dimensions"] == 50


def test_fit_takes_files_of_another_rate(run: Run, small_store: Path, tmp_path: Path) -> None:
    """A recording as a condition, and one that is to go on."""
    sound = 0.5 * np.sin(2 * np.pi * 50 * np.arange(320) / 8000)  # 40 ms, 40 sites at 1000 Hz
    soundfile.write(tmp_path / "fast.wav", sound, 8000, subtype="PCM_16")
    spoken = ("sample", "tiny-wavernn", "-c", f"mel={tmp_path / 'fast.wav'}")
    kept = ("sample", "tiny-wavenet", "--prefix", tmp_path / "fast.wav", "--sites", 50)
    for command, steps in (
        (spoken, "mel: resampled 8000 Hz to 1000 Hz"),
        (kept, "resampled 8000 Hz to 1000 Hz"),
    ):
        options = ("-o", tmp_path / "out.npy", "--models", small_store, "--json")
        refused = run(*command, *options)
        assert refused.status == 2
        assert "--fit resamples it" in refused.err
        found = run(*command, *options, "--fit")
        assert found.status == 0, found.err
        assert found.json["fit"] == [steps]
    codec = ancestral.load("tiny-wavenet", small_store).manifest.data.media_codec
    own = 0.5 * np.sin(2 * np.pi * 50 * np.arange(10, 30) / 1000)
    drawn = codec.decode(np.load(tmp_path / "out.npy")[0])
    np.testing.assert_allclose(drawn[10:30], codec.decode(codec.encode(own)), atol=0.15)
    scored = run(
        "score", "tiny-wavernn", tmp_path / "fast.wav", "-c", f"mel={tmp_path / 'fast.wav'}",
        "--fit", "--models", small_store, "--json",
    )  # fmt: skip
    (result,) = scored.json["results"]
    assert result["fit"] == ["mel: resampled 8000 Hz to 1000 Hz", "resampled 8000 Hz to 1000 Hz"]


def test_the_usual_file_name(
    run: Run, small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("sample", "tiny-wavenet", "--models", small_store).status == 0
    with wave.open(io.BytesIO((tmp_path / "tiny-wavenet.wav").read_bytes())) as file:
        assert file.getnframes() == 30


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tiny-pixelcnn", "-o", "a.wav"), "ends in gif, json, npy, png"),
        (("tiny-pixelcnn",), "condition.label: is missing"),
        (("tiny-pixelcnn", "-c", "label=3"), "0 to 2 is expected"),
        (("tiny-pixelcnn", "-c", "label"), "NAME=VALUE is expected"),
        (("tiny-pixelcnn", "-c", "label=x"), "0 to 2 is expected, not 'x'"),
        (("tiny-pixelcnn", "-c", "label="), "0 to 2 is expected, not ''"),
        (("tiny-wavernn", "-c", "mel=[[1"), "'[[1' is not JSON"),
        (("tiny-wavernn", "-c", "mel=nowhere.npy"), "nowhere.npy"),
        (("tiny-wavernn", "-c", "mel=3"), "numbers of shape [3, time] are expected"),
        (("tiny-wavenet", "--sites", 1000), "sites"),
        (("tiny-wavenet", "-n", 0), "--count"),
        (("tiny-wavenet", "--temperature", -1), "--temperature"),
    ],
)
def test_bad_requests(
    run: Run, small_store: Path, arguments: tuple[object, ...], message: str
) -> None:
    found = run("sample", *arguments, "--models", small_store)
    assert found.status == 2
    assert message in found.err
