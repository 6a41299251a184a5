from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ancestral.api.wire import HEADER, Frame, FrameError

GOLDEN = Path(__file__).parent / "golden"


def frame(count: int = 4, first: int = 10, size: int = 3) -> Frame:
    values = bytes(range(count * size))
    return Frame(7, 2, first, count, "uint8", True, values)


@pytest.mark.parametrize("case", json.loads((GOLDEN / "frames.json").read_text()))
def test_golden_frames(case: dict[str, object]) -> None:
    """Bytes written by hand from CONVENTIONS' layout; the page's client reads the same file."""
    data = bytes.fromhex(str(case["hex"]))
    found = Frame.decode(data)
    assert found.encode() == data
    told = {name: getattr(found, name) for name in ("stream", "item", "first_site", "count")}
    assert told == {name: case[name] for name in told}
    assert (found.dtype, found.last) == (case["dtype"], case["last"])
    dtype = {"uint8": "<u1", "int16": "<i2", "int32": "<i4", "float32": "<f4"}[found.dtype]
    assert np.frombuffer(found.values, dtype).tolist() == case["values"]


def test_the_header_has_24_bytes() -> None:
    assert HEADER.size == 24


@given(st.integers(0, 20), st.integers(1, 9), st.integers(1, 4))
def test_a_frame_cut_at_a_site_holds_the_rest(site: int, count: int, size: int) -> None:
    whole = frame(count, 10, size)
    rest = whole.after(site)
    start = max(10, site)
    if start >= 10 + count:
        assert rest is None
        return
    assert rest is not None
    assert (rest.first_site, rest.count) == (start, 10 + count - start)
    assert rest.values == whole.values[(start - 10) * size :]
    assert Frame.decode(rest.encode()) == rest


@pytest.mark.parametrize("damage", ["short", "version", "kind", "dtype", "flags", "cut", "empty"])
def test_what_is_no_frame_is_refused(damage: str) -> None:
    data = bytearray(frame(size=1).encode())
    match damage:
        case "short":
            data = data[:23]
        case "cut":
            data = data[:-1]
        case "empty":
            data = data[:24]
        case _:
            data[["version", "kind", "dtype", "flags"].index(damage)] = 9
    with pytest.raises(FrameError):
        Frame.decode(bytes(data))
