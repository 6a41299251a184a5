"""Items, their sites, and specifications that make no sense."""

from __future__ import annotations

import pytest
import torch

from ancestral.models import ConditionSpec, DataSpec


def test_sites_of_an_image_run_over_rows_and_hold_the_channels() -> None:
    data = DataSpec(kind="image", shape=(3, 2, 4), levels=256)
    item = torch.arange(24).reshape(1, 3, 2, 4)
    values = data.to_sites(item)
    assert values.shape == (1, 8, 3)
    assert values[0, 5].tolist() == [item[0, c, 1, 1].item() for c in range(3)]
    assert torch.equal(data.from_sites(values), item)
    assert (data.sites(), data.dims_per_site, data.dimensions(8)) == (8, 3, 24)


@pytest.mark.parametrize(
    ("data", "shape", "sites"),
    [
        (DataSpec(kind="vector", shape=(5,), levels=2), (2, 5), 5),
        (DataSpec(kind="audio", levels=256, sample_rate=8000), (2, 7), 7),
        (DataSpec(kind="sequence", levels=10), (2, 3), 3),
    ],
)
def test_other_data_have_one_dimension_a_site(
    data: DataSpec, shape: tuple[int, ...], sites: int
) -> None:
    items = torch.arange(2 * shape[1]).reshape(shape)
    values = data.to_sites(items)
    assert values.shape == (*shape, 1)
    assert torch.equal(data.from_sites(values), items)
    assert data.sites(items) == data.sites(sites) == sites


def test_open_length_needs_an_item() -> None:
    with pytest.raises(ValueError, match="no length of its own"):
        DataSpec(kind="audio", levels=256).sites()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "film"}, "unknown kind"),
        ({"kind": "image", "shape": (28, 28)}, "cannot have the shape"),
        ({"kind": "vector", "shape": (0,)}, "cannot have the shape"),
        ({"kind": "audio", "shape": (100,)}, "cannot have the shape"),
        ({"kind": "vector", "shape": (4,), "levels": 1}, "at least 2"),
    ],
)
def test_specifications_that_make_no_sense(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DataSpec(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "label"}, "classes is for labels"),
        ({"kind": "label", "classes": 2, "channels": 1}, "channels is for"),
        ({"kind": "series", "classes": 2}, "classes is for labels"),
        ({"kind": "label", "classes": 2, "prior": (0.5, 0.6)}, "sum to 1"),
        ({"kind": "label", "classes": 3, "prior": (0.5, 0.5)}, "sum to 1"),
    ],
)
def test_conditions_that_make_no_sense(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ConditionSpec(name="c", **fields)  # type: ignore[arg-type]
