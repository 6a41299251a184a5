from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from tests.packages import LABEL, TINY

from ancestral.engine.conditions import ConditionError
from ancestral.engine.known import KnownError
from ancestral.engine.length import LengthError
from ancestral.engine.request import (
    HOLE_NOTE,
    FieldError,
    SampleRequest,
    ScoreRequest,
    check_condition,
    checked_sample,
    pack_items,
    sample_bytes,
    unpack_items,
)
from ancestral.store.manifest import Manifest

PROVENANCE = {"data": "none", "licence": "none", "command": "none"}


def manifest(name: str, **changes: Any) -> Manifest:
    config = {"name": name, "version": 1, "provenance": PROVENANCE, **TINY[name], **changes}
    return Manifest.model_validate(config, strict=False)


def test_a_request_survives_json() -> None:
    made = checked_sample(
        manifest("tiny-wavenet"),
        count=3,
        seed=2**64 - 1,
        seconds=0.02,
        condition={"label": [0, 1, 2]},
        temperature=0.5,
        top_k=3,
        prefix=[1, 2],
    )
    assert made.sites == 20
    assert SampleRequest.from_json(json.loads(json.dumps(made.to_json()))) == SampleRequest(
        **{**made.to_json(), "seed": 2**64 - 1}
    )


@pytest.mark.parametrize(
    ("name", "request_", "field", "error"),
    [
        ("tiny-made", {"sites": 5}, "sites", LengthError),
        ("tiny-wavenet", {"sites": 101}, "sites", LengthError),
        ("tiny-wavenet", {"seconds": 1.0}, "seconds", LengthError),
        ("tiny-wavenet", {"condition": None}, "condition.label", ConditionError),
        ("tiny-wavenet", {"condition": {"label": 3}}, "condition.label", ConditionError),
        ("tiny-wavenet", {"condition": {"label": True}}, "condition.label", ConditionError),
        ("tiny-made", {"condition": {"mood": 3}}, "condition.mood", ConditionError),
        ("tiny-made", {"prefix": [0] * 7}, "prefix", KnownError),
        ("tiny-made", {"prefix": [0.5]}, "prefix", KnownError),
        ("tiny-made", {"known": [0, None]}, "known", KnownError),
        ("tiny-made", {"known": [0, None, 2, 0, 0, 0]}, "known", KnownError),
        ("tiny-made", {"prefix": [[0], 1]}, "prefix", KnownError),
    ],
)
def test_the_field_at_fault_is_named(
    name: str, request_: dict[str, Any], field: str, error: type[ValueError]
) -> None:
    condition = {"label": 1} if name == "tiny-wavenet" else None
    with pytest.raises(error) as found:
        checked_sample(manifest(name), count=1, seed=0, **{"condition": condition, **request_})
    assert found.value.field == field  # type: ignore[attr-defined]


def test_cuts_are_the_likelihoods_to_refuse() -> None:
    real = manifest(
        "tiny-made",
        data={"kind": "vector", "shape": [6]},
        likelihood={"kind": "gaussian"},
        input_encoding="unit",
    )
    assert checked_sample(real, count=1, seed=0).top_k is None
    for cut in ({"top_k": 3}, {"top_p": 0.5}):
        with pytest.raises(FieldError) as found:
            checked_sample(real, count=1, seed=0, **cut)
        assert [found.value.field] == list(cut)


def test_known_after_a_hole_is_noted() -> None:
    made = manifest("tiny-made", order="raster", hyperparameters={"hidden": [12]})
    assert checked_sample(made, count=1, seed=0, known=[1, 1] + [None] * 4).notes == ()
    late = checked_sample(made, count=1, seed=0, known=[1, None, 1, None, None, None])
    assert late.notes == (HOLE_NOTE,)


def test_series_and_planes_must_fit_the_item() -> None:
    mel = {"name": "mel", "kind": "series", "channels": 2}
    sound = manifest("tiny-wavenet", conditions=[LABEL, mel])
    good = {"label": 0, "mel": np.zeros((2, 30)).tolist()}
    assert check_condition(sound, good, 1, sites=30)
    with pytest.raises(ConditionError) as found:
        check_condition(sound, good, 1, sites=31)
    assert found.value.field == "condition.mel"
    plane = {"name": "low", "kind": "plane", "channels": 1}
    image = manifest("tiny-gpt", conditions=[plane])
    assert check_condition(image, {"low": np.zeros((1, 4, 4)).tolist()}, 1)
    with pytest.raises(ConditionError, match=r"condition\.low"):
        check_condition(image, {"low": np.zeros((1, 4, 5)).tolist()}, 1, sites=16)


def test_a_series_says_how_long_a_sound_is() -> None:
    sound = manifest("tiny-wavernn")
    mel = np.zeros((3, 7)).tolist()
    assert checked_sample(sound, count=1, seed=0, condition={"mel": mel}).sites == 42
    assert checked_sample(sound, count=2, seed=0, condition={"mel": [mel, mel]}).sites == 42
    for asked in ({"sites": 40}, {"sites": 48}, {"seconds": 0.03}):
        with pytest.raises(ConditionError, match=r"7 values in time, which cover 42 sites"):
            checked_sample(sound, count=1, seed=0, condition={"mel": mel}, **asked)
    assert check_condition(sound, {"mel": mel}, 1, sites=38)  # the last one reaches beyond
    with pytest.raises(LengthError, match="600 are possible"):
        checked_sample(sound, count=1, seed=0, condition={"mel": np.zeros((3, 101)).tolist()})


def test_output_is_bounded_before_it_is_made() -> None:
    colour = manifest("tiny-colour")
    request = checked_sample(colour, count=7, seed=0)
    assert sample_bytes(colour, request) == 7 * 12 * 3


def test_items_of_any_shapes_share_a_payload() -> None:
    items = [np.arange(6).reshape(1, 2, 3), np.array([15, 0])]
    shapes, payload = pack_items(items, 16)
    request = ScoreRequest(shapes, "uint8")
    again = ScoreRequest.from_json(json.loads(json.dumps(request.to_json())))
    for item, back in zip(items, unpack_items(again, payload), strict=True):
        np.testing.assert_array_equal(item, back)
        assert back.dtype == np.int64
    shapes, payload = pack_items([np.array([0.5, -1.5])], None)
    (real,) = unpack_items(ScoreRequest(shapes, "float32"), payload)
    assert real.dtype == np.float32
    assert real.tolist() == [0.5, -1.5]
