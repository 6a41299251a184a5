"""What an item of data is, what conditions it, and in which order its sites come."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

Kind = Literal["image", "audio", "vector", "sequence"]


@dataclass(frozen=True, slots=True)
class DataSpec:
    """Canonical form of items: image [C, H, W], vector [D], audio and sequence [T] (open length).

    `levels` counts the codes 0 … levels-1 of discrete data; None means real values.
    """

    kind: Kind
    shape: tuple[int, ...] = ()
    levels: int | None = None
    sample_rate: int | None = None

    def __post_init__(self) -> None:
        axes = {"image": 3, "vector": 1, "audio": 0, "sequence": 0}
        if self.kind not in axes:
            raise ValueError(f"unknown kind of data {self.kind!r}; known: {', '.join(axes)}")
        if len(self.shape) != axes[self.kind] or any(size < 1 for size in self.shape):
            raise ValueError(f"{self.kind} data cannot have the shape {list(self.shape)}")
        if self.levels is not None and self.levels < 2:
            raise ValueError(f"levels must be at least 2, not {self.levels}")

    @property
    def dims_per_site(self) -> int:
        """Dimensions of one site: an image's channels, else 1."""
        return self.shape[0] if self.kind == "image" else 1

    def sites(self, item: torch.Tensor | Sequence[int] | int | None = None) -> int:
        """Sites of an item, given its tensor, shape or length; None where the size is fixed."""
        if self.kind == "image":
            return self.shape[1] * self.shape[2]
        if self.kind == "vector":
            return self.shape[0]
        if item is None:
            raise ValueError(f"an item of {self.kind} data has no length of its own")
        if isinstance(item, int):
            return item
        return int(item.shape[-1] if isinstance(item, torch.Tensor) else item[-1])

    def dimensions(self, sites: int) -> int:
        """Scalars of an item of that many sites."""
        return sites * self.dims_per_site

    def to_sites(self, items: torch.Tensor) -> torch.Tensor:
        """Items [B, …] as values [B, S, C] in position order (raster or time)."""
        if self.kind == "image":
            return items.flatten(2).transpose(1, 2)
        return items.unsqueeze(-1)

    def from_sites(self, values: torch.Tensor) -> torch.Tensor:
        """Values [B, S, C] in position order as items [B, …]."""
        if self.kind == "image":
            return values.transpose(1, 2).reshape(len(values), *self.shape)
        return values.squeeze(-1)


@dataclass(frozen=True, slots=True)
class ConditionSpec:
    """An input beside the data: label int64 [B]; series float [B, channels, T] at `hop` sites a
    value; plane float [B, channels, H, W]. `prior` holds the probabilities of the classes, `names`
    what people call them."""

    name: str
    kind: Literal["label", "series", "plane"]
    classes: int | None = None
    channels: int | None = None
    hop: int = 1
    prior: tuple[float, ...] | None = None
    names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if (self.kind == "label") != (self.classes is not None):
            raise ValueError(f"condition {self.name}: classes is for labels, and needed there")
        if (self.kind == "label") != (self.channels is None):
            raise ValueError(
                f"condition {self.name}: channels is for series and planes, and needed there"
            )
        if self.prior is not None and (
            len(self.prior) != self.classes or not math.isclose(sum(self.prior), 1, abs_tol=1e-6)
        ):
            raise ValueError(f"condition {self.name}: prior must sum to 1 over the classes")


def whole_frames(sites: int, conditions: Sequence[ConditionSpec]) -> int:
    """`sites` rounded up to a length at which every series has a whole number of values."""
    hop = math.lcm(*(spec.hop for spec in conditions if spec.kind == "series"))
    return -(-sites // hop) * hop
