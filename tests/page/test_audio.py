"""A sound that grows, and the speaker that hands it to the client's player."""

from __future__ import annotations

from pathlib import Path

from tests.page.node import run

SPEAKER = """
import { Recording, Speaker } from "./audio.js";
import { SoundQueue } from "./client/worklet.js";

// The browser's side: a context whose worklet nodes are pulled by hand, 80 frames at a time.
const nodes = [];
let clock = 0;
class Context {
  destination = {};
  audioWorklet = { addModule: async () => {} };
  constructor({ sampleRate }) { this.sampleRate = sampleRate; }
  async resume() {}
  async close() {}
}
class Node {
  heard = [];
  constructor(context, name, { processorOptions: { rate, lead, total } }) {
    const step = rate / context.sampleRate;
    this.queue = new SoundQueue({ step, rate, total, lead: lead * rate });
    this.port = {
      postMessage: (data) => {
        if (data instanceof Float32Array) this.queue.push(data, clock);
        else if (data === "finish") this.queue.finish();
        else this.stopped = true;
      },
    };
    nodes.push(this);
  }
  connect() {}
  disconnect() {}
  pull() {
    if (this.stopped) return;
    const output = new Float32Array(80);
    this.queue.fill(output);
    if (this.queue.state === "playing") this.heard.push(...output);
    const { state, taken: at, wait, gaps } = this.queue;
    this.port.onmessage({ data: { state, at, wait, gaps } });
  }
}
Object.assign(globalThis, { AudioContext: Context, AudioWorkletNode: Node });

// A sound made at half real time: heard whole and gapless, from the middle of its making on.
const sound = new Recording(8000, 8000);
const speaker = new Speaker();
speaker.wake(8000);
await speaker.play(sound);
const states = [];
let began = 0;
for (let step = 0; step <= 400; step++) {
  clock = step / 100;
  if (step % 5 === 0 && sound.have < 8000) {
    sound.append(Float32Array.from({ length: 200 }, (_, i) => (sound.have + i) / 8000));
  }
  const { state, sample } = speaker.tick();
  if (states.at(-1) !== state) states.push(state);
  if (state === "playing") {
    began ||= clock;
    assert.ok(Math.abs(sample / 8000 - (clock - began)) < 0.03);
  }
  nodes.at(-1).pull();
}
assert.deepEqual(states, ["waiting", "playing", "ended", "idle"]);
assert.ok(began > 0.9 && began < 1.6, `${began}`);
assert.equal(nodes[0].queue.gaps, 0);
assert.deepEqual(nodes[0].heard, Array.from(sound.samples).slice(0, nodes[0].heard.length));
assert.ok(nodes[0].heard.length >= 8000 - 80);

// Another one in its place, which ends early: the first is silent.
const short = new Recording(4000, 8000);
await speaker.play(sound);
await speaker.play(short);
assert.equal(speaker.recording, short);
assert.ok(nodes[1].stopped);
short.append(new Float32Array(500));
short.finish();
assert.deepEqual([short.total, short.samples.length], [500, 500]);
speaker.tick();
for (let step = 0; step < 10; step++) nodes[2].pull();
assert.equal(speaker.tick().state, "ended");
assert.equal(speaker.recording, null);
"""


def test_a_sound_slower_than_real_time_is_heard_without_a_gap(tmp_path: Path) -> None:
    run(SPEAKER, tmp_path)
