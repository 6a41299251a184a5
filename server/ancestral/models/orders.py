"""Generation orders of an image's pixels, as data: rank -> position (row · W + column).

Orders are named: `raster`, `s-curve`, `diagonal` or `hilbert`, and a variant of it by the letters
after a dash: `t` transposed, then `v` rows reversed, `h` columns reversed. `s-curve-tv` goes down
and up the columns of the image, from its lower left corner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

Order = npt.NDArray[np.int64]
VARIANTS = ("", "h", "v", "vh", "t", "th", "tv", "tvh")  # the symmetries of a rectangle


class Member(nn.Module):
    """An ensemble over orders under one of them: x [B, …] -> params. The weights are shared."""

    def __init__(self, ensemble: nn.Module, name: str) -> None:
        super().__init__()
        self.ensemble = ensemble
        self.name = name

    def forward(self, x: Tensor, *conditions: Tensor) -> Tensor:
        params: Tensor = self.ensemble.under(self.name, x, *conditions)  # type: ignore[operator]
        return params


def raster(height: int, width: int) -> Order:
    """Row after row."""
    return np.arange(height * width)


def s_curve(height: int, width: int) -> Order:
    """Row after row, every second one backwards: each pixel is a neighbour of the last."""
    positions = np.arange(height * width).reshape(height, width)
    positions[1::2] = positions[1::2, ::-1].copy()
    return positions.ravel()


def diagonal(height: int, width: int) -> Order:
    """Anti-diagonals from the upper left corner, each from its upper right end."""
    row, column = np.divmod(np.arange(height * width), width)
    return np.lexsort((row, row + column))


def hilbert(height: int, width: int) -> Order:
    """Hilbert's curve, for a rectangle of any size.

    Halves as in Hilbert's construction, of even length where that can be, so that consecutive
    pixels are neighbours; where an odd length cannot be avoided, one step may be diagonal.
    """
    along, across = (width + 0j, height * 1j) if width >= height else (height * 1j, width + 0j)
    walk = np.array(list(_hilbert(0j, along, across)))
    order: Order = (walk.imag * width + walk.real).astype(np.int64)
    return order


def _hilbert(start: complex, along: complex, across: complex) -> Iterator[complex]:
    """Points column + i·row of the rectangle at `start`, from there to the end of side `along`."""
    length, depth = round(abs(along)), round(abs(across))
    forward, sideways = along / length, across / depth
    if depth == 1:
        yield from (start + forward * i for i in range(length))
    elif length == 1:
        yield from (start + sideways * i for i in range(depth))
    elif 2 * length > 3 * depth:  # long: two such rectangles, one after the other
        half = _half(length) * forward
        yield from _hilbert(start, half, across)
        yield from _hilbert(start + half, along - half, across)
    else:  # up the first half, along, and down the other half
        half, rise = length // 2 * forward, _half(depth) * sideways
        yield from _hilbert(start, rise, half)
        yield from _hilbert(start + rise, along, across - rise)
        yield from _hilbert(start + along - forward + rise - sideways, -rise, half - along)


def _half(length: int) -> int:
    """About half, and even where there is more than one step."""
    half = length // 2
    return half + 1 if half % 2 and length > 2 else half


CURVES: dict[str, Callable[[int, int], Order]] = {
    "diagonal": diagonal,
    "hilbert": hilbert,
    "raster": raster,
    "s-curve": s_curve,
}


def named(name: str, height: int, width: int) -> Order:
    """The order of that name for an image of height × width. Raises ValueError for no such name."""
    curve, variant = name, ""
    if name not in CURVES:
        curve, _, variant = name.rpartition("-")
    if curve not in CURVES or variant not in VARIANTS or name.endswith("-"):
        raise ValueError(
            f"unknown order {name!r}; known: {', '.join(CURVES)}, and variants such as "
            f"s-curve-{VARIANTS[-1]}"
        )
    positions = np.arange(height * width).reshape(height, width)
    if "v" in variant:
        positions = positions[::-1]
    if "h" in variant:
        positions = positions[:, ::-1]
    if "t" in variant:
        positions = positions.T
    return positions.ravel()[CURVES[curve](*positions.shape)]


def eight(curve: str) -> tuple[str, ...]:
    """The names of a curve's eight variants."""
    return tuple(f"{curve}-{variant}" if variant else curve for variant in VARIANTS)


def all_named(names: Sequence[str], height: int, width: int) -> Mapping[str, Order]:
    """The orders of these names, each once. Raises ValueError."""
    if not names or len(set(names)) < len(names):
        raise ValueError("orders must name at least one order, and each once")
    return {name: named(name, height, width) for name in names}
