"""What every plot begins with: matplotlib, and axes to draw on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def axes(given: Axes | None, width: float = 6.0, height: float = 3.0) -> Axes:
    """The axes given, or those of a new figure of so many inches. Raises ImportError."""
    if given is not None:
        return given
    try:
        from matplotlib import pyplot
    except ImportError as error:
        message = "plots need matplotlib: pip install 'ancestral[notebook]'"
        raise ImportError(message) from error
    _, new = pyplot.subplots(figsize=(width, height), layout="constrained")
    return new
