"""The binary frames of `ancestral.v1`, byte for byte.

Little-endian, a header of 24 bytes, then count × dimensions-per-site values in generation order:

    u8   version       1
    u8   kind          0: values
    u8   dtype         0 uint8, 1 int16, 2 int32, 3 float32
    u8   flags         bit 0: last frame of this item
    u32  stream        as `started` numbered the job
    u32  item          within the request, from 0
    u32  count         sites in this frame
    u64  first_site    rank of the first of them
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

VERSION = 1
VALUES = 0
LAST = 1
DTYPES = ("uint8", "int16", "int32", "float32")
SIZES = (1, 2, 4, 4)  # bytes of one value
HEADER = struct.Struct("<BBBBIIIQ")


class FrameError(ValueError):
    """Bytes that are no frame of this protocol."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Consecutive sites of one item; `values` holds their bytes."""

    stream: int
    item: int
    first_site: int
    count: int
    dtype: str
    last: bool
    values: bytes

    def encode(self) -> bytes:
        header = HEADER.pack(
            VERSION,
            VALUES,
            DTYPES.index(self.dtype),
            LAST if self.last else 0,
            self.stream,
            self.item,
            self.count,
            self.first_site,
        )
        return header + self.values

    @classmethod
    def decode(cls, data: bytes) -> Frame:
        """Raises FrameError for another version or kind, and sizes that contradict each other."""
        if len(data) < HEADER.size:
            raise FrameError(f"{len(data)} bytes; the header alone has {HEADER.size}")
        version, kind, dtype, flags, stream, item, count, first = HEADER.unpack_from(data)
        if version != VERSION or kind != VALUES or dtype >= len(DTYPES) or flags & ~LAST:
            raise FrameError(f"version {version}, kind {kind}, dtype {dtype}, flags {flags}")
        values = data[HEADER.size :]
        if count == 0 or len(values) % (count * SIZES[dtype]) or not values:
            raise FrameError(f"{len(values)} bytes of values for {count} sites of {DTYPES[dtype]}")
        return cls(stream, item, first, count, DTYPES[dtype], bool(flags & LAST), values)

    def after(self, site: int) -> Frame | None:
        """What the frame holds from `site` on; None where that is nothing."""
        skip = max(0, site - self.first_site)
        if skip == 0:
            return self
        if skip >= self.count:
            return None
        size = len(self.values) // self.count
        return Frame(
            self.stream,
            self.item,
            self.first_site + skip,
            self.count - skip,
            self.dtype,
            self.last,
            self.values[skip * size :],
        )
