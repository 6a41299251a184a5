"""What a score says, and which items may be scored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ancestral.engine.display import score_html
from ancestral.models.data import DataSpec


@dataclass(frozen=True, slots=True)
class Score:
    """The untempered model's verdict on one item; nats in data units."""

    log_prob: float
    bits_per_dim: float
    dimensions: int
    per_dim: npt.NDArray[np.float64] = field(repr=False)  # [S, C] by position (raster, time)
    percentile: float | None  # 0-100, low is anomalous; None where the package has no reference
    reference_n: int
    marginalised: bool
    data: DataSpec

    @property
    def map(self) -> npt.NDArray[np.float64]:
        """`per_dim` as an item is: an image's [C, H, W], else [T]."""
        return np.asarray(self.data.from_sites(torch.from_numpy(self.per_dim)[None])[0])

    def _repr_html_(self) -> str:
        """For notebooks."""
        share = "no reference"
        if self.percentile is not None:
            share = f"{self.percentile:.1f} of {self.reference_n} held-out items"
        figures = {
            "log p": f"{self.log_prob:.3f} nats",
            "bits/dim": f"{self.bits_per_dim:.4f}",
            "percentile": share,
            "dimensions": f"{self.dimensions:,}" + ", labels summed out" * self.marginalised,
        }
        return score_html(self.map, figures)


class ItemError(ValueError):
    """An item that the model cannot score; `index` is its place in the request."""

    def __init__(self, index: int, message: str) -> None:
        self.index = index
        super().__init__(f"items[{index}]: {message}")


def score_of(
    per_dim: torch.Tensor,
    data: DataSpec,
    reference: npt.NDArray[np.float64],
    *,
    per_bits: bool,
    marginalised: bool,
) -> Score:
    """Sum one item's map [S, C]; `per_bits`: the reference holds -bits/dim, else nats."""
    nats = per_dim.numpy()
    total = math.fsum(nats.flat)
    bits = -total / (nats.size * math.log(2))
    return Score(
        log_prob=total,
        bits_per_dim=bits,
        dimensions=nats.size,
        per_dim=nats,
        percentile=percentile(-bits if per_bits else total, reference),
        reference_n=len(reference),
        marginalised=marginalised,
        data=data,
    )


def percentile(score: float, reference: npt.NDArray[np.float64]) -> float | None:
    """Share of the reference scores below this one, 0-100; None without a reference."""
    if len(reference) == 0:
        return None
    return 100 * float(np.count_nonzero(reference < score)) / len(reference)


def item_list(data: DataSpec, items: Any) -> Sequence[Any]:
    """One entry per item: a batch array, a list of arrays, or a single item of the data's shape."""
    if isinstance(items, np.ndarray | torch.Tensor):
        rank = len(data.shape) or 1
        return [items] if items.ndim == rank else list(items)
    return list(items)


def checked_item(data: DataSpec, index: int, item: Any) -> torch.Tensor:
    """The item as int64 codes or float32 values. Raises ItemError; nothing is cast or resized."""
    try:
        array = item.detach().cpu().numpy() if isinstance(item, torch.Tensor) else np.asarray(item)
    except (TypeError, ValueError, OverflowError) as error:
        raise ItemError(index, f"is not an array of numbers: {error}") from error
    expected = str(list(data.shape)) if data.shape else "[T]"
    fits = array.ndim == 1 if not data.shape else array.shape == tuple(data.shape)
    if not fits or array.size == 0:
        raise ItemError(index, f"has shape {list(array.shape)}; {expected} is expected")
    if data.levels is None:
        if array.dtype.kind not in "iuf":
            raise ItemError(index, f"has dtype {array.dtype}; numbers are expected")
        if not np.isfinite(array).all():
            raise ItemError(index, "holds numbers that are not finite")
        return torch.from_numpy(array.astype(np.float32))
    if array.dtype.kind not in "iub":
        raise ItemError(index, f"has dtype {array.dtype}; whole levels are expected")
    low, high = int(array.min()), int(array.max())
    if low < 0 or high >= data.levels:
        raise ItemError(index, f"holds levels {low} to {high}; 0 to {data.levels - 1} are expected")
    return torch.from_numpy(array.astype(np.int64))
