/** What needs no server: pauses between tries. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Backoff, Client } from "../src/index.js";

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
