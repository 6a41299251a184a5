"""Generation orders: permutations, and the curves that their names promise."""

from __future__ import annotations

import numpy as np
import pytest

from ancestral.models.orders import CURVES, VARIANTS, all_named, eight, hilbert, named

SIZES = [(8, 8), (5, 7), (7, 5), (6, 9), (1, 4), (3, 1), (28, 28)]


def steps(order: np.ndarray, width: int) -> np.ndarray:
    """How far, in rows plus columns, each pixel lies from the last."""
    rows, columns = np.divmod(order, width)
    distances: np.ndarray = np.abs(np.diff(rows)) + np.abs(np.diff(columns))
    return distances


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("curve", CURVES)
def test_every_order_visits_every_pixel_once(curve: str, height: int, width: int) -> None:
    for name in eight(curve):
        assert sorted(named(name, height, width)) == list(range(height * width))


@pytest.mark.parametrize("size", [1, 2, 4, 8, 16, 32])
def test_hilberts_curve_goes_from_neighbour_to_neighbour(size: int) -> None:
    order = hilbert(size, size)
    assert (steps(order, size) == 1).all()
    quarters = [
        {(p // size >= size // 2, p % size >= size // 2) for p in part}
        for part in np.split(order, 4 if size > 1 else 1)
    ]
    assert all(len(quarter) == 1 for quarter in quarters)  # a quarter is done before the next


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_on_other_rectangles_it_steps_diagonally_once_at_most(height: int, width: int) -> None:
    far = steps(hilbert(height, width), width)
    assert (far > 1).sum() <= 1
    assert far.max(initial=1) <= 2


def test_curves_written_out() -> None:
    assert named("raster", 2, 3).tolist() == [0, 1, 2, 3, 4, 5]
    assert named("raster-t", 2, 3).tolist() == [0, 3, 1, 4, 2, 5]
    assert named("s-curve", 3, 3).tolist() == [0, 1, 2, 5, 4, 3, 6, 7, 8]
    assert named("s-curve-h", 2, 3).tolist() == [2, 1, 0, 3, 4, 5]
    assert named("s-curve-tv", 2, 3).tolist() == [3, 0, 1, 4, 5, 2]
    assert named("diagonal", 2, 3).tolist() == [0, 1, 3, 2, 4, 5]
    assert (steps(named("s-curve-tvh", 6, 5), 5) == 1).all()


def test_the_variants_of_a_curve_differ() -> None:
    for curve in ("s-curve", "hilbert", "raster"):
        orders = {tuple(order) for order in all_named(eight(curve), 6, 6).values()}
        assert len(orders) == len(VARIANTS)


@pytest.mark.parametrize("name", ["spiral", "raster-x", "raster-", "t", ""])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="unknown order"):
        named(name, 2, 2)


def test_an_order_is_named_once() -> None:
    for names in ([], ["raster", "raster"]):
        with pytest.raises(ValueError, match="each once"):
            all_named(names, 2, 2)
