"""Strategies that break good things: bytes of files, and documents of JSON."""

from __future__ import annotations

import copy
import struct
import zlib
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

_SIZES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
Draw = Callable[[st.SearchStrategy[Any]], Any]

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-3, 300)
    | st.sampled_from([2**31, 2**53, 2**63, 2**64, -(2**63), 10**30, 10**400, -1])
    | st.floats(allow_nan=True, allow_infinity=True)
    | st.sampled_from([5e-324, 1e308, -0.0, 1e-300])
    | st.text(max_size=6)
    | st.sampled_from(["\ud800", "\x00", "../../etc/passwd", "tiny-gpt/" + "9" * 5000, "é" * 300])
)
JSON = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(max_size=4) | st.sampled_from(["data", "label", "\ud800"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)


@st.composite
def broken_bytes(draw: Draw, good: st.SearchStrategy[bytes]) -> bytes:
    """A good file after one to four changes."""
    body = bytearray(draw(good))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(body) - 1)))
        match draw(st.sampled_from(["bit", "byte", "cut", "insert", "repeat", "size", "swap"])):
            case "bit" if body:
                body[at] ^= 1 << draw(st.integers(0, 7))
            case "byte" if body:
                body[at] = draw(st.integers(0, 255))
            case "cut":
                del body[at:]
            case "insert":
                body[at:at] = draw(st.binary(min_size=1, max_size=9))
            case "repeat":
                end = at + draw(st.integers(1, 40))
                body[at:at] = body[at:end]
            case "size":
                layout = draw(st.sampled_from(["<I", ">I", "<H", ">H"]))
                size = draw(st.sampled_from(_SIZES)) % (1 << 8 * struct.calcsize(layout))
                body[at : at + struct.calcsize(layout)] = struct.pack(layout, size)
            case "swap":
                end = draw(st.integers(0, len(body)))
                body[at:end] = body[at:end][::-1]
    found = bytes(body)
    return with_checksums(found) if draw(st.booleans()) else found


def with_checksums(body: bytes) -> bytes:
    """A PNG whose chunks say that they are whole, so that their contents are believed."""
    if not body.startswith(b"\x89PNG\r\n\x1a\n"):
        return body
    found, at = bytearray(body), 8
    while at + 12 <= len(found):
        end = at + 8 + int.from_bytes(found[at : at + 4], "big")
        if end + 4 > len(found):
            break
        found[end : end + 4] = struct.pack(">I", zlib.crc32(found[at + 4 : end]))
        at = end + 4
    return bytes(found)


@st.composite
def broken_json(draw: Draw, good: st.SearchStrategy[Any]) -> Any:
    """A good document after one to three of its parts were replaced, dropped or added to."""
    document = copy.deepcopy(draw(good))
    for _ in range(draw(st.integers(1, 3))):
        parts = list(_parts(document))
        holder, key = draw(st.sampled_from(parts)) if parts else (None, None)
        if holder is None:
            return draw(JSON)
        match draw(st.sampled_from(["replace", "drop", "add"])):
            case "replace":
                holder[key] = draw(JSON)
            case "drop":
                del holder[key]
            case "add" if isinstance(holder, dict):
                holder[draw(st.text(max_size=5) | st.just("\ud800"))] = draw(JSON)
            case "add":
                holder.insert(key, draw(JSON))
    return document


def _parts(document: Any) -> Any:
    """Every place in a document as (what holds it, its key or index)."""
    keys = (
        list(document)
        if isinstance(document, dict)
        else range(len(document))
        if isinstance(document, list)
        else ()
    )
    for key in keys:
        yield document, key
        yield from _parts(document[key])
