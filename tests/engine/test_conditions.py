from __future__ import annotations

import numpy as np
import pytest
import torch

from ancestral.engine.conditions import ConditionError, tensors
from ancestral.models.data import ConditionSpec

LABEL = ConditionSpec(name="label", kind="label", classes=10)
MEL = ConditionSpec(name="mel", kind="series", channels=2)


def test_they_follow_the_order_of_the_manifest() -> None:
    mel = [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    label, series = tensors((LABEL, MEL), {"mel": mel, "label": 3})
    assert label is not None
    assert series is not None
    assert label.tolist() == [3]
    np.testing.assert_array_equal(series, [mel])


def test_one_for_all_or_one_for_each() -> None:
    (each,) = tensors((LABEL,), {"label": [1, 2, 3]}, 3)
    (array,) = tensors((LABEL,), {"label": torch.tensor([1, 2, 3])}, 3)
    (one,) = tensors((LABEL,), {"label": 7}, 3)
    assert each is not None
    assert array is not None
    assert one is not None
    assert each.tolist() == array.tolist() == [1, 2, 3]
    assert one.tolist() == [7]
    with pytest.raises(ConditionError, match="one or 3 values are expected, not 2"):
        tensors((LABEL,), {"label": [1, 2]}, 3)


def test_a_class_has_a_number_and_may_have_a_name() -> None:
    pet = ConditionSpec(name="pet", kind="label", classes=3, names=("cat", "dog", "sea horse"))
    (one,) = tensors((pet,), {"pet": "dog"})
    (each,) = tensors((pet,), {"pet": ["sea horse", 0, "cat"]}, 3)
    assert one is not None
    assert each is not None
    assert one.tolist() == [1]
    assert each.tolist() == [2, 0, 0]
    expected = "cat, dog, sea horse, or an integer from 0 to 2 is expected, not 'horse'"
    with pytest.raises(ConditionError, match=expected):
        tensors((pet,), {"pet": "horse"})
    with pytest.raises(ConditionError, match=r"condition\.label: an integer from 0 to 9"):
        tensors((LABEL,), {"label": "dog"})


def test_a_label_that_the_prior_is_certain_of_need_not_be_given() -> None:
    certain = ConditionSpec(name="label", kind="label", classes=3, prior=(0.0, 1.0, 0.0))
    (missing,) = tensors((certain,), None)
    (given,) = tensors((certain,), {"label": 2})
    assert missing is not None
    assert given is not None
    assert (missing.tolist(), given.tolist()) == ([1], [2])


def test_missing_is_none_where_optional() -> None:
    assert tensors((LABEL,), None, optional=True) == (None,)
    assert tensors((), None) == ()


@pytest.mark.parametrize(
    ("condition", "field", "words"),
    [
        (None, "condition.label", "is missing; an integer from 0 to 9"),
        ({"label": 10}, "condition.label", "from 0 to 9 is expected, not 10"),
        ({"label": -1}, "condition.label", "not -1"),
        ({"label": 1.5}, "condition.label", "not 1.5"),
        ({"label": True}, "condition.label", "not True"),
        ({"label": "3"}, "condition.label", "not '3'"),
        ({"colour": 3}, "condition.colour", "no such condition; it takes label"),
        ([3], "condition", "an object of names and values"),
    ],
)
def test_errors_name_the_field(condition: object, field: str, words: str) -> None:
    with pytest.raises(ConditionError, match=words) as caught:
        tensors((LABEL,), condition)  # type: ignore[arg-type]
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("mel", "words"),
    [
        ([[0.0, 1.0]], r"shape \[2, time\] are expected, not \[1, 1, 2\]"),
        ([[0.0, float("nan")], [1.0, 2.0]], "not finite"),
        ([[0.0, 1.0], [1.0]], r"shape \[2, time\]"),
        ("loud", r"shape \[2, time\]"),
    ],
)
def test_series_of_another_shape_are_refused(mel: object, words: str) -> None:
    with pytest.raises(ConditionError, match=words):
        tensors((MEL,), {"mel": mel})
