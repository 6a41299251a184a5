"""The binary frames of `ancestral.v1` (docs/protocol.md), and what has arrived of each item."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ancestral_client.errors import StreamBroken

Array = npt.NDArray[Any]
SUBPROTOCOL = "ancestral.v1"
HEADER = struct.Struct("<BBBBIIIQ")
VERSION, VALUES, LAST = 1, 0, 1
DTYPES = (np.dtype("<u1"), np.dtype("<i2"), np.dtype("<i4"), np.dtype("<f4"))


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Consecutive sites of one item, in generation order.

    first_site    rank of the first of them
    values        [count, dims]: codes, real values, or PCM where that was asked for
    last          whether the item ends here
    """

    item: int
    first_site: int
    values: Array
    last: bool

    @property
    def count(self) -> int:
        return len(self.values)


def decode(data: bytes) -> Chunk:
    """One frame. Raises StreamBroken for another version or kind, or sizes that contradict."""
    if len(data) < HEADER.size:
        raise StreamBroken(f"a frame of {len(data)} bytes; its header has {HEADER.size}")
    version, kind, dtype, flags, _, item, count, first = HEADER.unpack_from(data)
    if version != VERSION or kind != VALUES or dtype >= len(DTYPES) or flags & ~LAST:
        raise StreamBroken(f"a frame of version {version}, kind {kind}, dtype {dtype}, {flags=}")
    size = len(data) - HEADER.size
    if count == 0 or size == 0 or size % (count * DTYPES[dtype].itemsize):
        raise StreamBroken(f"{size} bytes of values for {count} sites of {DTYPES[dtype]}")
    values = np.frombuffer(data, DTYPES[dtype], offset=HEADER.size).reshape(count, -1)
    return Chunk(item, first, values, bool(flags & LAST))


@dataclass(frozen=True, slots=True)
class Started:
    """What a stream says before its first values.

    sites             per item
    order             raster, time, another order's name, or `ensemble`
    seed, fingerprint what the values follow from; `derived`: whether by the derived fast sampler
    sample_rate       Hz; None unless it is sound
    """

    job: str
    model: str
    kind: str
    shape: tuple[int, ...]
    levels: int | None
    dtype: str
    dims_per_site: int
    sites: int
    sample_rate: int | None
    order: str
    count: int
    first_item: int
    seed: int
    fingerprint: str
    runtime: str | None
    derived: bool
    notes: tuple[str, ...]
    raw: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, message: Mapping[str, Any]) -> Started:
        plain = ("job", "model", "kind", "dtype", "dims_per_site", "sites", "order", "count")
        more = ("first_item", "fingerprint", "derived")
        return cls(
            **{name: message[name] for name in (*plain, *more)},
            shape=tuple(message["shape"]),
            levels=message.get("levels"),
            sample_rate=message.get("sample_rate"),
            seed=int(message["seed"]),
            runtime=message.get("runtime"),
            notes=tuple(message.get("notes", ())),
            raw=message,
        )

    def positions(self, item: int) -> Array | None:
        """The position of each rank of an item, [sites]; None where they are the same."""
        if "item_orders" in self.raw:
            return np.asarray(self.raw["permutations"][self.raw["item_orders"][item]])
        found = self.raw.get("permutation")
        return None if found is None else np.asarray(found)


class Ledger:
    """The values of a stream; sites of an item come in order, without gap or overlap."""

    def __init__(self, started: Started) -> None:
        self._started = started
        self.next = [0] * started.count  # the first site wanted of each item
        shape = (started.count, started.sites, started.dims_per_site)
        self._values = np.zeros(shape, dtype=np.dtype(started.dtype).newbyteorder("<"))

    def book(self, chunk: Chunk) -> None:
        """Take up a chunk. Raises StreamBroken where it breaks the promise."""
        started = self._started
        if chunk.item >= started.count:
            raise StreamBroken(f"item {chunk.item} of a stream of {started.count}")
        expected = self.next[chunk.item]
        end = chunk.first_site + chunk.count
        if chunk.first_site != expected or end > started.sites:
            detail = f"sites {chunk.first_site} to {end} of item {chunk.item} come after {expected}"
            raise StreamBroken(detail)
        if chunk.last != (end == started.sites):
            raise StreamBroken(f"item {chunk.item} ends at site {end}; it has {started.sites}")
        if chunk.values.dtype != self._values.dtype or (
            chunk.values.shape[1] != started.dims_per_site
        ):
            raise StreamBroken(f"{chunk.values.dtype} [{chunk.values.shape}] in this stream")
        self._values[chunk.item, chunk.first_site : end] = chunk.values
        self.next[chunk.item] = end

    @property
    def complete(self) -> bool:
        return all(site == self._started.sites for site in self.next)

    def item(self, index: int) -> Array:
        """An item in its own shape, zero where nothing has arrived: [C, H, W] or [sites]."""
        values = self._values[index]
        positions = self._started.positions(index)
        if positions is not None:
            placed = np.empty_like(values)
            placed[positions] = values
            values = placed
        if self._started.kind == "image":
            return np.ascontiguousarray(values.T).reshape(self._started.shape)
        return np.ascontiguousarray(values[:, 0])
