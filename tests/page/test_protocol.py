"""Frames as the page reads them: the golden ones that the server's tests read too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.page.node import run

from ancestral.api.wire import Frame, FrameError

GOLDEN = Path(__file__).parents[1] / "api" / "golden" / "frames.json"

DECODE = """
import { readFileSync } from "node:fs";
import { FrameError, decodeFrame } from "./protocol.js";

const golden = JSON.parse(readFileSync("golden.json", "utf8"));
const bytes = (hex) => Uint8Array.from(Buffer.from(hex.replaceAll(" ", ""), "hex"));

for (const { name, hex, first_site, values, ...header } of golden.frames) {
  const data = bytes(hex);
  const frame = decodeFrame(data.buffer);
  const { values: read, firstSite, dims, ...rest } = frame;
  assert.deepEqual(rest, header, name);
  assert.equal(firstSite, first_site, name);
  assert.deepEqual(Array.from(read), values, name);
  assert.equal(dims, values.length / header.count, name);
  const shifted = new Uint8Array(data.length + 1); // a view that starts off any boundary
  shifted.set(data, 1);
  assert.deepEqual(decodeFrame(shifted.subarray(1)), frame, name);
}
for (const { name, hex } of golden.refused) {
  assert.throws(() => decodeFrame(bytes(hex).buffer), FrameError, name);
}
"""

LEDGER = """
import { FrameError, Ledger } from "./protocol.js";

const started = { count: 2, sites: 5, dims_per_site: 1, dtype: "uint8" };
const frame = (item, firstSite, count, last = false, more = {}) => {
  return { item, firstSite, count, last, dims: 1, dtype: "uint8", ...more };
};
const ledger = new Ledger(started);
ledger.book(frame(0, 0, 3));
ledger.book(frame(1, 0, 5, true));
const broken = {
  overlap: frame(0, 2, 2),
  gap: frame(0, 4, 1, true),
  "beyond the end": frame(0, 3, 3, true),
  "last too early": frame(0, 3, 1, true),
  "last not said": frame(0, 3, 2, false),
  "another item": frame(2, 0, 1),
  "another dtype": frame(0, 3, 2, true, { dtype: "int16" }),
  "other dimensions": frame(0, 3, 2, true, { dims: 3 }),
};
for (const [name, wrong] of Object.entries(broken)) {
  assert.throws(() => ledger.book(wrong), FrameError, name);
}
assert.equal(ledger.arrived, 8);
assert.equal(ledger.complete, false);
ledger.book(frame(0, 3, 2, true));
assert.equal(ledger.complete, true);
"""


def test_the_page_decodes_the_golden_frames(tmp_path: Path) -> None:
    (tmp_path / "golden.json").write_text(GOLDEN.read_text())
    run(DECODE, tmp_path)


def test_sites_come_in_order_without_gap_or_overlap(tmp_path: Path) -> None:
    run(LEDGER, tmp_path)


@pytest.mark.parametrize(
    "golden", json.loads(GOLDEN.read_text())["frames"], ids=lambda golden: golden["name"]
)
def test_the_server_writes_and_reads_the_golden_frames(golden: dict) -> None:
    data = bytes.fromhex(golden["hex"])
    frame = Frame.decode(data)
    for name in ("dtype", "last", "stream", "item", "count", "first_site"):
        assert getattr(frame, name) == golden[name], name
    assert frame.values == data[24:]
    assert frame.encode() == data


@pytest.mark.parametrize(
    "golden", json.loads(GOLDEN.read_text())["refused"], ids=lambda golden: golden["name"]
)
def test_the_server_refuses_what_the_page_refuses(golden: dict) -> None:
    with pytest.raises(FrameError):
        Frame.decode(bytes.fromhex(golden["hex"]))
