/** Frames as a function of their bytes, and what a ledger refuses. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { FrameError, Ledger, decodeFrame } from "../src/index.js";

const bytes = (hex) => Uint8Array.from(Buffer.from(hex.replaceAll(" ", ""), "hex"));

test("golden frames", () => {
  const golden = JSON.parse(readFileSync(new URL("../../../tests/api/golden/frames.json", import.meta.url)));
  for (const { hex, first_site, values, name, ...header } of golden) {
    const data = bytes(hex);
    const frame = decodeFrame(data.buffer);
    const { firstSite, values: read, dims, ...rest } = frame;
    assert.deepEqual({ ...rest, firstSite }, { ...header, firstSite: first_site }, name);
    assert.deepEqual(Array.from(read), values, name);
    assert.equal(dims * header.count, values.length, name);
    const shifted = new Uint8Array(data.length + 1); // a view that starts off any boundary
    shifted.set(data, 1);
    assert.deepEqual(decodeFrame(shifted.subarray(1)), frame, name);
  }
});

test("bytes that are no frame", () => {
  const refused = {
    "cut off in the header": "01 00 00 00 07000000 00000000 03000000 00000000000000",
    "version 2": "02 00 00 00 07000000 00000000 01000000 0000000000000000 00",
    "kind 1": "01 01 00 00 07000000 00000000 01000000 0000000000000000 00",
    "dtype 4": "01 00 04 00 07000000 00000000 01000000 0000000000000000 00",
    "flag 2": "01 00 00 02 07000000 00000000 01000000 0000000000000000 00",
    "no sites": "01 00 00 00 07000000 00000000 00000000 0000000000000000",
    "no values": "01 00 00 00 07000000 00000000 02000000 0000000000000000",
    "half a value": "01 00 01 00 07000000 00000000 02000000 0000000000000000 000000",
    "a site beyond 2^53": "01 00 00 00 07000000 00000000 01000000 0000000000002000 00",
  };
  for (const [name, hex] of Object.entries(refused)) {
    assert.throws(() => decodeFrame(bytes(hex).buffer), FrameError, name);
  }
});

test("sites come in order without gap or overlap", () => {
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
});
