"""The one error of this package: input that is not what the model reads."""

from __future__ import annotations

from collections.abc import Sequence

LARGEST = 50_000_000  # pixels or samples of a file that are decoded, or that "fit" resamples to


class MediaError(ValueError):
    """Malformed or mismatching media; the message names what is wrong, and both shapes."""


def shape_text(shape: Sequence[int]) -> str:
    """A shape as it is written in JSON: `[1, 28, 28]`."""
    return "[" + ", ".join(str(int(size)) for size in shape) + "]"
