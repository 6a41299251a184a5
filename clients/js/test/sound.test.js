/** When sound begins: as early as it can without stopping again. The oracle plays it out. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { SoundQueue } from "../src/worklet.js";

const taker = (queue) => (n) => {
  const output = new Float32Array(n);
  queue.fill(output);
  return Array.from(output);
};

test("sound begins with its lead, in the right order, and counts gaps", () => {
  const queue = new SoundQueue({ step: 1, lead: 4, rate: 100 });
  const take = taker(queue);
  queue.push(Float32Array.of(1, 2, 3), 0);
  assert.deepEqual(take(2), [0, 0]);
  assert.equal(queue.state, "waiting");
  queue.push(Float32Array.of(4, 5), 1);
  assert.deepEqual(take(3), [1, 2, 3]);
  assert.equal(queue.state, "playing");
  assert.deepEqual(take(4), [4, 5, 0, 0]);
  assert.equal(queue.gaps, 1);
  queue.push(Float32Array.of(6), 2);
  assert.deepEqual(take(1), [0]);
  queue.finish();
  assert.deepEqual(take(2), [6, 0]);
  assert.equal(queue.state, "ended");
  assert.equal(queue.gaps, 1);
});

test("sound of half the rate is interpolated", () => {
  const queue = new SoundQueue({ step: 0.5, lead: 0, rate: 100 });
  queue.push(Float32Array.of(0, 1, 0), 0);
  queue.finish();
  assert.deepEqual(taker(queue)(6), [0, 0.5, 1, 0.5, 0, 0]);
});

test("a sound that ends before it begins has ended", () => {
  const queue = new SoundQueue({ step: 1, lead: 4, rate: 100, total: 10 });
  queue.finish();
  taker(queue)(1);
  assert.equal(queue.state, "ended");
});

test("it begins as early as it can and never runs dry", () => {
  const [rate, lead] = [8000, 800];
  for (const total of [2000, 8000, 40000]) {
    for (const speed of [400, 2000, 7000, 8000, 12000, 100000]) {
      const queue = new SoundQueue({ step: 1, lead, rate, total });
      const take = taker(queue);
      let [begun, have] = [null, 0];
      for (let frame = 1; queue.state !== "ended"; frame++) {
        const now = frame * 0.05; // a frame of the protocol
        const there = Math.min(total, Math.floor(speed * now));
        if (there > have) queue.push(new Float32Array(there - have), now);
        have = there;
        if (have === total) queue.finish();
        take(0.05 * rate);
        if (queue.state !== "waiting") begun ??= now;
      }
      assert.equal(queue.gaps, 0, `${total} at ${speed}: ran dry`);
      const complete = total / speed;
      const earliest = Math.max(0, complete - total / rate); // any earlier would run dry
      assert.ok(begun <= Math.min(complete + 0.1, earliest + 0.2 * complete + 0.2), `${total} at ${speed}: ${begun}`);
    }
  }
});

test("it waits as long as it says", () => {
  const at = (seconds) => {
    const queue = new SoundQueue({ step: 1, lead: 800, rate: 8000, total: 8000 });
    queue.push(new Float32Array(100), 0);
    queue.push(new Float32Array(900), 0.45); // 2000 a second
    if (seconds > 0) queue.push(new Float32Array(Math.round(2000 * seconds)), 0.45 + seconds);
    return queue.wait;
  };
  const wait = at(0);
  assert.ok(wait > 0.5 && wait < 3);
  assert.equal(at(wait + 0.01), 0);
  assert.ok(at(wait - 0.05) > 0);
  const alone = new SoundQueue({ step: 1, lead: 800, rate: 8000, total: 8000 });
  alone.push(new Float32Array(1000), 0);
  assert.equal(alone.wait, Infinity); // the first piece only starts the clock
});
