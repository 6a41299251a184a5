"""Distribution augmentation: every training item under every transformation, which is a label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ancestral.models.distaug import TRANSFORMATION
from ancestral.train.datasets import Array, DataError, DataSet, Series, Split
from ancestral.train.recipe import Recipe


def _jigsaw(images: Array) -> Array:
    """The four quarters in another order: each goes to the next corner clockwise."""
    height, width = images.shape[-2] // 2, images.shape[-1] // 2
    top, bottom = images[..., :height, :], images[..., height:, :]
    quarters = top[..., :width], top[..., width:], bottom[..., width:], bottom[..., :width]
    a, b, c, d = quarters  # clockwise from the upper left
    return np.concatenate([np.concatenate([d, a], -1), np.concatenate([c, b], -1)], -2)


# Of images [N, C, H, W]; those that swap height and width need square ones.
TRANSFORMATIONS: dict[str, Callable[[Array], Array]] = {
    "identity": lambda images: images,
    "rotate-90": lambda images: np.rot90(images, 1, (-2, -1)),
    "rotate-180": lambda images: np.rot90(images, 2, (-2, -1)),
    "rotate-270": lambda images: np.rot90(images, 3, (-2, -1)),
    "transpose": lambda images: np.swapaxes(images, -2, -1),
    "swap-colours": lambda images: images[:, ::-1],
    "jigsaw": _jigsaw,
}


def augmented(recipe: Recipe, data: DataSet) -> DataSet:
    """The set with the recipe's transformations: all of them to learn from, the identity to test.

    Raises DataError naming what does not fit.
    """
    names = recipe.transformations
    shape = recipe.data.shape
    at = [c.name for c in recipe.conditions].index(TRANSFORMATION)
    for name in names:
        if name not in TRANSFORMATIONS:
            known = ", ".join(TRANSFORMATIONS)
            raise DataError(f"{TRANSFORMATION}: unknown {name!r}; known: {known}")
        turned = TRANSFORMATIONS[name](np.zeros((1, *shape), dtype=np.uint8))
        if turned.shape[1:] != tuple(shape):
            raise DataError(f"{TRANSFORMATION}: {name} needs square images, not {shape}")
        if name == "swap-colours" and shape[0] == 1:
            raise DataError(f"{TRANSFORMATION}: swap-colours needs several channels")
    train = np.stack(list(data.train.items))
    items = np.concatenate([TRANSFORMATIONS[name](train) for name in names])
    label = np.repeat(np.arange(len(names)), len(train))
    others = data.train.take(np.tile(np.arange(len(train)), len(names))).conditions
    return replace(
        data,
        train=Split(items, _with(others, at, label)),
        valid=_identity(data.valid, at),
        test=_identity(data.test, at),
    )


def _identity(split: Split, at: int) -> Split:
    label = np.zeros(len(split), dtype=np.int64)
    return replace(split, conditions=_with(split.conditions, at, label))


def _with(
    conditions: Sequence[Array | Series], at: int, label: Array
) -> tuple[Array | Series, ...]:
    return (*conditions[:at], label, *conditions[at:])
