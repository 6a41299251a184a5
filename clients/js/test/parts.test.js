/** What needs no server: frames, pauses, sound and pictures. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { Backoff, Client, FrameError, decodeFrame } from "../src/index.js";
import { Painter } from "../src/painter.js";
import { SoundQueue } from "../src/worklet.js";

test("golden frames", () => {
  const golden = JSON.parse(readFileSync(new URL("../../../tests/api/golden/frames.json", import.meta.url)));
  for (const { hex, first_site, values, name, ...header } of golden) {
    const { firstSite, values: read, dims, ...rest } = decodeFrame(Uint8Array.from(Buffer.from(hex, "hex")));
    assert.deepEqual({ ...rest, firstSite }, { ...header, firstSite: first_site }, name);
    assert.deepEqual(Array.from(read), values, name);
    assert.equal(dims * header.count, values.length, name);
  }
  assert.throws(() => decodeFrame(new Uint8Array(23)), FrameError);
});

test("pauses double, and follow Retry-After", () => {
  let now = 0;
  const backoff = new Backoff(3, { now: () => now, random: () => 1 });
  assert.deepEqual([1, 2, 3, 4].map(() => backoff.pause()), [0.2, 0.4, 0.8, 1.6]);
  now = 2;
  assert.equal(backoff.pause(1), 1);
  assert.equal(backoff.pause(1.1), null);
  backoff.rest();
  assert.equal(backoff.pause(), 0.2);
});

test("a full queue is waited for", async () => {
  let asked = 0;
  const full = { status: 429, headers: { "retry-after": "0", "content-type": "application/problem+json" } };
  const fetch = async () =>
    ++asked < 3 ? new Response('{"title": "Queue full"}', full) : Response.json({ models: [] });
  assert.deepEqual(await new Client("http://server", { fetch }).models(), []);
  assert.equal(asked, 3);
});

test("sound begins with its lead, in the right order, and counts gaps", () => {
  const queue = new SoundQueue(1, 4);
  const take = (n) => {
    const output = new Float32Array(n);
    queue.fill(output);
    return Array.from(output);
  };
  queue.push(Float32Array.of(1, 2, 3));
  assert.deepEqual(take(2), [0, 0]);
  queue.push(Float32Array.of(4, 5));
  assert.deepEqual(take(3), [1, 2, 3]);
  assert.deepEqual(take(4), [4, 5, 0, 0]);
  assert.equal(queue.gaps, 1);
  queue.push(Float32Array.of(6));
  assert.deepEqual(take(1), [0]);
  queue.finish();
  assert.deepEqual(take(2), [6, 0]);
  assert.ok(queue.ended);
  assert.equal(queue.gaps, 1);
});

test("sound of half the rate is interpolated", () => {
  const queue = new SoundQueue(0.5, 0);
  queue.push(Float32Array.of(0, 1, 0));
  queue.finish();
  const output = new Float32Array(6);
  queue.fill(output);
  assert.deepEqual(Array.from(output), [0, 0.5, 1, 0.5, 0, 0]);
});

test("pictures are painted by position", () => {
  const shown = {};
  const context = {
    createImageData: (width, height) => ({ data: new Uint8ClampedArray(4 * width * height) }),
    putImageData: ({ data }) => (shown.data = Array.from(data)),
  };
  const canvas = { getContext: () => context };
  const started = { shape: [1, 1, 3], dims_per_site: 1, permutation: [2, 0, 1] };
  const painter = new Painter(canvas, { levels: 4 }, started);
  painter.paint({ firstSite: 0, count: 2, values: Uint8Array.of(3, 1) });
  assert.deepEqual(shown.data, [85, 85, 85, 255, 0, 0, 0, 0, 255, 255, 255, 255]);
  assert.deepEqual([canvas.width, canvas.height], [3, 1]);
});
