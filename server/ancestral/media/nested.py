"""Numbers in: JSON lists or arrays, checked against the data a model reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ancestral.media.errors import MediaError, shape_text
from ancestral.models.data import DataSpec

Array = npt.NDArray[np.generic]
_DEEPEST = 8  # axes; an image has three
Item = npt.NDArray[np.int64] | npt.NDArray[np.float64]


def shape_of(nested: object, depth: int = 0) -> tuple[int, ...]:
    """Shape of nested lists of numbers (or nulls). Raises MediaError where they are ragged."""
    if not isinstance(nested, list | tuple):
        return ()
    if depth == _DEEPEST:
        raise MediaError(f"lists nested deeper than {_DEEPEST}")
    if not nested:
        return (0,)
    shapes = {shape_of(part, depth + 1) for part in nested}
    if len(shapes) > 1:
        first, second = sorted(shapes)[:2]
        raise MediaError(
            f"ragged lists: shapes {shape_text(first)} and {shape_text(second)} side by side"
        )
    return (len(nested), *shapes.pop())


def _leaves(nested: object, found: list[object]) -> list[object]:
    if isinstance(nested, list | tuple):
        for part in nested:
            _leaves(part, found)
    else:
        found.append(nested)
    return found


def _numbers(leaves: list[object]) -> Array:
    for value in leaves:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise MediaError(f"{value!r} is not a number")
    try:
        if all(isinstance(value, int) for value in leaves):
            return np.array(leaves, dtype=np.int64)
        return np.array(leaves, dtype=np.float64)
    except OverflowError as error:
        raise MediaError("a number is too large") from error


def from_nested(nested: object, data: DataSpec, *, fit: bool = False) -> tuple[Item, list[str]]:
    """One item from nested lists of numbers; grey images may leave out their channel axis."""
    if not isinstance(nested, list | tuple):
        raise MediaError(f"{nested!r} is not a list of numbers")
    shape = shape_of(nested)
    return from_array(_numbers(_leaves(nested, [])).reshape(shape), data, fit=fit)


def known_from_nested(nested: object, data: DataSpec) -> tuple[Item, npt.NDArray[np.bool_]]:
    """Partial knowledge: data-shaped lists with null where to sample.

    Gives the item (0 where unknown) and the mask of what is known, both in the item's shape.
    """
    shape = shape_of(nested)
    leaves = _leaves(nested, [])
    mask = np.array([value is not None for value in leaves], dtype=np.bool_).reshape(shape)
    filled = _numbers([0 if value is None else value for value in leaves]).reshape(shape)
    item, _ = from_array(filled, data, masked=mask)
    return item, mask.reshape(item.shape)


def from_array(
    array: Array, data: DataSpec, *, fit: bool = False, masked: npt.NDArray[np.bool_] | None = None
) -> tuple[Item, list[str]]:
    """One item as the model reads it: int64 codes, or float64 where the data is real-valued.

    Raises MediaError for another shape, values out of range, NaN, or fractions where codes are
    expected (rounded under `fit`). `masked` limits the check of values to where it is true.
    """
    item = _shaped(array, data)
    if data.levels is None:
        real: npt.NDArray[np.float64] = item.astype(np.float64)
        _require(np.isfinite(real), item, "is not finite")
        return real, []
    steps: list[str] = []
    if item.dtype.kind == "f":
        floats: npt.NDArray[np.float64] = item.astype(np.float64)
        _require(np.isfinite(floats), item, "is not finite")
        whole = np.floor(floats + 0.5)
        if (whole != floats).any():
            if not fit:
                _require(whole == floats, item, 'is no whole code; "fit": true rounds it')
            steps.append("rounded to whole codes")
        item = np.clip(whole, -1.0, float(data.levels)).astype(np.int64)
    good = (item >= 0) & (item < data.levels)
    if masked is not None:
        good |= ~masked.reshape(good.shape)
    _require(good, item, f"lies outside 0..{data.levels - 1}")
    return item.astype(np.int64), steps


def _shaped(array: Array, data: DataSpec) -> npt.NDArray[Any]:
    found = array.shape
    expected = data.shape
    if not expected:
        if len(found) != 1:
            raise MediaError(f"shape {shape_text(found)} where [T] ({data.kind}) is expected")
        if found[0] == 0:
            raise MediaError("the item is empty")
        return array
    if data.kind == "image" and expected[0] == 1 and found == expected[1:]:
        return array[None]
    if found != expected:
        raise MediaError(f"shape {shape_text(found)} where {shape_text(expected)} is expected")
    return array


def _require(good: npt.NDArray[np.bool_], item: npt.NDArray[Any], complaint: str) -> None:
    if not good.all():
        where = tuple(int(axis[0]) for axis in np.nonzero(~good))
        raise MediaError(f"value {item[where]} at {shape_text(where)} {complaint}")
