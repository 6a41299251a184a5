/** When sound begins: as early as it can without stopping again. The oracle plays it out. */

import assert from "node:assert/strict";
import { mock, test } from "node:test";

import { Pump } from "../src/pump.js";
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

/** What a Pump needs of an AudioContext; `blocks` are {at, samples, stopped} as they were handed over. */
function output(sampleRate) {
  const blocks = [];
  return {
    blocks,
    sampleRate,
    currentTime: 0,
    createBuffer: (_, frames) => {
      const samples = new Float32Array(frames);
      return { getChannelData: () => samples };
    },
    createBufferSource: () => ({
      connect() {},
      start(at) {
        blocks.push((this.block = { at, samples: this.buffer.getChannelData(0), stopped: false }));
      },
      stop() {
        this.block.stopped = true;
      },
    }),
  };
}

/** Lets `seconds` pass, 10 ms at a time. */
function pass(context, seconds) {
  for (let step = 0; step < Math.round(100 * seconds); step++) {
    context.currentTime += 0.01;
    mock.timers.tick(10);
  }
}

test("without a worklet, blocks follow each other, and are told of when they are heard", () => {
  mock.timers.enable({ apis: ["setInterval", "setTimeout"] });
  try {
    const context = output(8000);
    const pump = new Pump(context, { rate: 8000, lead: 0.1, total: 8000 });
    const told = [];
    pump.port.onmessage = ({ data }) => told.push({ ...data, now: context.currentTime });
    pump.connect(null);
    const sound = Float32Array.from({ length: 8000 }, (_, i) => (i + 1) / 8000);
    pass(context, 0.5);
    assert.equal(context.blocks.length, 0);
    for (let from = 0; from < 8000; from += 800) {
      pump.port.postMessage(sound.slice(from, from + 800)); // twice as fast as it is heard
      pass(context, 0.05);
    }
    pump.port.postMessage("finish");
    pass(context, 2);
    const heard = context.blocks.flatMap(({ samples }) => Array.from(samples));
    assert.deepEqual(heard.slice(0, 8000), Array.from(sound));
    const [first] = context.blocks;
    assert.ok(first.at < 0.5 + 0.2, `${first.at}`); // 200 ms after the first piece
    context.blocks.forEach(({ at }, i) => assert.ok(Math.abs(at - first.at - 0.05 * i) < 1e-9));
    const playing = told.find(({ state }) => state === "playing");
    assert.ok(Math.abs(playing.now - first.at) < 0.011);
    const end = told.at(-1);
    assert.equal(end.state, "ended");
    assert.equal(end.gaps, 0);
    assert.ok(end.now >= first.at + 1 && end.now < first.at + 1.1, `${end.now}`);
  } finally {
    mock.timers.reset();
  }
});

test("without a worklet, what is stopped is silent at once", () => {
  mock.timers.enable({ apis: ["setInterval", "setTimeout"] });
  try {
    const context = output(8000);
    const pump = new Pump(context, { rate: 8000, lead: 0.1, total: 8000 });
    pump.connect(null);
    pump.port.postMessage(new Float32Array(8000));
    pass(context, 0.2);
    const handed = context.blocks.length;
    assert.ok(handed > 0);
    pump.port.postMessage("stop");
    pump.disconnect();
    assert.ok(context.blocks.every(({ stopped }) => stopped));
    pass(context, 1);
    assert.equal(context.blocks.length, handed);
  } finally {
    mock.timers.reset();
  }
});
