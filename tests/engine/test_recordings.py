"""Conditions given as files."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tests.packages import publish

import ancestral
from ancestral.engine.conditions import ConditionError
from ancestral.engine.model import Model
from ancestral.engine.parity import first_conditions
from ancestral.engine.recordings import read_condition
from ancestral.media.mel import LogMel

SOUND = 0.5 * np.sin(np.arange(50) / 3)
MEL = LogMel(rate=1000, hop=6, window=24, bands=3, lowest=0, highest=500, floor=1e-6)


def wav(sound: np.ndarray = SOUND, rate: int = 1000) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, sound, rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    root = tmp_path_factory.mktemp("store")
    publish(root, "tiny-wavernn")
    return ancestral.load("tiny-wavernn", root=root)


def test_a_recording_stands_for_its_frames(model: Model) -> None:
    found, steps = read_condition(wav(), "mel", model.manifest)
    assert steps == []
    np.testing.assert_allclose(found, MEL(SOUND), atol=1e-3)  # but for the 16 bits
    stored, _ = read_condition(npy(found), "mel", model.manifest)
    np.testing.assert_array_equal(stored, found)


def test_fit_takes_a_recording_of_another_rate(model: Model) -> None:
    """The frames are those of the same two tones, written down at the model's rate."""

    def tones(rate: int) -> np.ndarray:
        time = np.arange(rate // 2) / rate
        return 0.3 * np.sin(2 * np.pi * 50 * time) + 0.2 * np.sin(2 * np.pi * 230 * time)

    stereo = np.stack([tones(8000), tones(8000) / 2], 1)
    found, steps = read_condition(wav(stereo, 8000), "mel", model.manifest, fit=True)
    assert steps == ["mel: took the mean of 2 channels", "mel: resampled 8000 Hz to 1000 Hz"]
    expected = MEL(0.75 * tones(1000))
    assert found.shape == expected.shape
    inner = slice(10, -10)  # a resampler hears silence beyond the ends
    np.testing.assert_allclose(found[:, inner], expected[:, inner], atol=5e-3)
    assert expected[:, inner].std() > 0.05


def test_fit_does_not_lengthen_without_bound(model: Model) -> None:
    with pytest.raises(ConditionError, match="601 samples; 600 are the most"):
        read_condition(wav(np.zeros(1202), 2000), "mel", model.manifest, fit=True)
    with pytest.raises(ConditionError, match="5000 samples; at most 4999"):
        read_condition(wav(np.zeros(5000), 2000), "mel", model.manifest, fit=True, most=4999)


def test_a_sound_is_scored_under_frames_that_reach_beyond_it(model: Model) -> None:
    """As the padded sound, without what was padded: the model is causal."""
    frames = MEL(SOUND)
    codec = model.manifest.data.media_codec
    assert codec is not None
    codes = codec.encode(SOUND)
    (alone,) = model.log_prob([codes], {"mel": frames})
    (padded,) = model.log_prob([np.pad(codes, (0, 4), constant_values=3)], {"mel": frames})
    assert alone.per_dim.shape == (50, 1)
    np.testing.assert_allclose(alone.per_dim, padded.per_dim[:50], atol=1e-6)


def test_sampling_lasts_as_long_as_the_frames(model: Model) -> None:
    drawn = model.sample(1, 5, {"mel": MEL(SOUND)})
    assert drawn.items[0].shape == (54,)
    (score,) = model.log_prob([drawn.items[0]], {"mel": MEL(SOUND)})
    assert score.log_prob == pytest.approx(drawn.log_prob[0], rel=1e-5)
    with pytest.raises(ConditionError, match="cover 54 sites at a hop of 6, not 50"):
        model.sample(1, 5, {"mel": MEL(SOUND)}, sites=50)


@pytest.mark.parametrize(
    ("body", "name", "words"),
    [
        (wav(np.zeros(601)), "mel", "601 samples; 600 are the most"),
        (wav(rate=8000), "mel", '8000 Hz where 1000 Hz is expected; "fit": true resamples it'),
        (wav(np.stack([SOUND, SOUND], 1)), "mel", "mono"),
        (b"\x89PNG\r\n\x1a\n", "mel", "NPY or WAV here, not PNG"),
        (b"rubbish", "mel", "the bytes are no"),
        (b"", "mel", "the file is empty"),
        (wav(), "label", "no such condition; it takes mel"),
    ],
)
def test_other_files_are_refused(model: Model, body: bytes, name: str, words: str) -> None:
    with pytest.raises(ConditionError, match=words) as found:
        read_condition(body, name, model.manifest)
    assert found.value.field == f"condition.{name}"


def test_only_what_the_manifest_defines_is_measured(tmp_path: Path) -> None:
    plain = {"name": "mel", "kind": "series", "channels": 3, "hop": 6}
    publish(tmp_path, "tiny-wavernn", conditions=[plain])
    manifest = ancestral.load("tiny-wavernn", root=tmp_path).manifest
    found, _ = read_condition(npy(np.zeros((3, 2))), "mel", manifest)
    assert found.shape == (3, 2)
    with pytest.raises(ConditionError, match="a file is NPY here, not WAV"):
        read_condition(wav(), "mel", manifest)


def test_checks_run_under_frames_that_a_sound_has(model: Model) -> None:
    """White noise measured as the manifest says, one value for every hop begun."""
    (frames,) = first_conditions(model, 20)
    assert frames.shape == (1, 3, 4)
    assert float(frames.min()) > 0
    assert float(frames.max()) < 1
    (again,) = first_conditions(model, 20)
    assert again.tolist() == frames.tolist()
