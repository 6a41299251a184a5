"""Layouts by letters: what fits a shape, what is asked for, and the rearrangement itself."""

from __future__ import annotations

import pytest
import torch

from ancestral.models.axes import Layout, inferred, input_layouts, params_layouts, rearrange

RGB = {"c": 3, "h": 4, "w": 5}


@pytest.mark.parametrize(
    ("shape", "sizes", "expected"),
    [
        ([None, 3, 4, 5], RGB, "b c h w"),
        ([None, 4, 5, 3], RGB, "b h w c"),
        ([None, 24, 4, 5], RGB | {"k": 8}, None),  # (c k) or (k c)
        ([None, 3, 4, 5, 8], RGB | {"k": 8}, "b c h w k"),
        ([None, 20], RGB | {"c": 1}, "b (h w c)"),
        ([None, 60], RGB, None),  # (h w c) or (c h w)
        ([None, 8, None], {"c": 1, "t": None, "k": 8}, "b k t"),
        ([None, None, 8], {"c": 1, "t": None, "k": 8}, "b t k"),
        ([None, None], {"c": 1, "t": None}, "b t"),
        ([None, 1, 30], {"c": 1, "t": None}, "b c t"),
        ([None, 3, 5, 4], RGB, None),
    ],
)
def test_inference_of_the_input(
    shape: list[int | None], sizes: dict[str, int | None], expected: str | None
) -> None:
    kind = "audio" if "t" in sizes else "image"
    if expected is None:
        with pytest.raises(ValueError, match=r"^--input-layout: "):
            inferred("--input-layout", input_layouts(kind), shape, sizes)
    else:
        found = inferred("--input-layout", input_layouts(kind), shape, sizes)
        assert str(found) == expected


def test_ambiguous_params_name_the_candidates() -> None:
    with pytest.raises(ValueError, match=r"give one: 'b \(c p\) h w' \| 'b \(p c\) h w'"):
        inferred("--params-layout", params_layouts("image"), [None, 24, 4, 5], RGB | {"p": 8})
    grey = RGB | {"c": 1, "p": 8}
    found = inferred("--params-layout", params_layouts("image"), [None, 8, 4, 5], grey)
    assert str(found) == "b (c p) h w"


@pytest.mark.parametrize("text", ["h w", "b c c", "b (c h", "b x", "", "b-c"])
def test_what_is_no_layout(text: str) -> None:
    with pytest.raises(ValueError, match=r"layout|axes"):
        Layout.parse(text, "bchw")


def test_rearrangement_there_and_back() -> None:
    sizes = {"c": 3, "h": 4, "w": 5, "p": 2}
    target = Layout.parse("b h w c p", "bchwp")
    x = torch.arange(2 * 120).reshape(2, 4, 5, 3, 2)
    slow = rearrange(x, target, Layout.parse("b (p c) h w", "bchwp"), sizes)
    assert slow.shape == (2, 6, 4, 5)
    assert slow[1, 1 * 3 + 2, 3, 4] == x[1, 3, 4, 2, 1]
    for text in params_layouts("image"):
        layout = Layout.parse(text, "bchwp")
        there = rearrange(x, target, layout, sizes)
        assert torch.equal(rearrange(there, layout, target, sizes), x)
