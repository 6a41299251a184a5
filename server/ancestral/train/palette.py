"""Colours as one code each: the k-means palette of Image GPT (Chen et al. 2020, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Colour = tuple[int, int, int]
Pixels = npt.NDArray[np.uint8]
MOST_PIXELS = 20_000  # of the training images that are clustered; more move no colour by a level
ROUNDS = 50  # of Lloyd's algorithm, at most


def k_means(pixels: npt.NDArray[Any], count: int, seed: int) -> tuple[Colour, ...]:
    """`count` different colours for pixels [N, 3], darkest first.

    Lloyd's algorithm from k-means++ seeds (Arthur and Vassilvitskii 2007), by squared distance in
    RGB. Raises ValueError for pixels of fewer colours.
    """
    different = np.unique(pixels, axis=0)
    if len(different) < count:
        raise ValueError(f"the images have {len(different)} colours; {count} clusters need more")
    random = np.random.default_rng(seed)
    if len(pixels) > MOST_PIXELS:
        pixels = pixels[random.choice(len(pixels), MOST_PIXELS, replace=False)]
    points = pixels.astype(np.float64)
    centres = _spread(points, count, random)
    nearest = np.full(len(points), -1)
    for _ in range(ROUNDS):
        found = _distances(points, centres).argmin(1)
        if (found == nearest).all():
            break
        nearest = found
        for cluster in np.unique(nearest):
            centres[cluster] = points[nearest == cluster].mean(0)
    colours = np.unique(np.rint(centres).astype(np.uint8), axis=0)
    if len(colours) < count:  # centres that round to one colour: fill up with colours that occur
        taken = {tuple(colour) for colour in colours.tolist()}
        spare = [colour for colour in different.tolist() if tuple(colour) not in taken]
        chosen = random.choice(len(spare), count - len(colours), replace=False)
        colours = np.concatenate([colours, np.array([spare[i] for i in chosen], dtype=np.uint8)])
    colours = colours[np.argsort(colours.astype(np.int64).sum(1), kind="stable")]
    return tuple((r, g, b) for r, g, b in colours.tolist())


def _spread(points: npt.NDArray[np.float64], count: int, random: np.random.Generator) -> Any:
    """First centres: each drawn with a probability by its squared distance to those before it."""
    centres = [points[random.integers(len(points))]]
    distance = _distances(points, np.array(centres))[:, 0]
    while len(centres) < count:
        total = distance.sum()
        chosen = random.choice(len(points), p=distance / total if total > 0 else None)
        centres.append(points[chosen])
        distance = np.minimum(distance, _distances(points, points[chosen][None])[:, 0])
    return np.array(centres)


def _distances(points: npt.NDArray[np.float64], centres: npt.NDArray[np.float64]) -> Any:
    """Squared, [N, K]."""
    return ((points**2).sum(1, keepdims=True) - 2 * points @ centres.T + (centres**2).sum(1)).clip(
        0
    )


def pixels_of(images: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """The pixels [N, 3] of RGB images [3, H, W]."""
    return np.concatenate([np.asarray(image).reshape(3, -1).T for image in images])
