"""When sound begins: as early as it can without stopping again. The oracle plays it out."""

from __future__ import annotations

from pathlib import Path

from tests.page.node import run

BEGIN = """
import { mayBegin, secondsToBegin } from "./audio.js";

const rate = 8000;
// Samples come at `speed` per second in frames of 50 ms; `heard` starts when it may.
function play(total, speed) {
  for (let frame = 1; ; frame++) {
    const now = frame * 0.05;
    const have = Math.min(total, Math.floor(speed * now));
    if (!mayBegin({ have, total, played: 0, speed, rate })) continue;
    let late = 0;
    for (let after = frame; after * 0.05 * speed < total; after++) {
      const there = Math.min(total, Math.floor(speed * after * 0.05));
      const needed = Math.min(total, Math.floor(rate * (after - frame) * 0.05));
      late = Math.max(late, needed - there);
    }
    return { begun: now, late };
  }
}
for (const total of [2000, 8000, 40000]) {
  for (const speed of [400, 2000, 7000, 8000, 12000, 100000]) {
    const { begun, late } = play(total, speed);
    assert.equal(late, 0, `${total} at ${speed}: ran dry`);
    const complete = total / speed;
    const earliest = Math.max(0, complete - total / rate); // any earlier would run dry
    assert.ok(begun <= Math.min(complete, earliest + 0.2 * complete) + 0.7);
  }
}
// It waits as long as it says.
const have = 1000;
const plan = { have, total: 8000, played: 0, speed: 2000, rate };
const wait = secondsToBegin(plan);
const later = (seconds) => ({ ...plan, have: have + plan.speed * seconds });
assert.equal(mayBegin(later(wait + 0.01)), true);
assert.equal(mayBegin(later(wait - 0.01)), false);
assert.equal(secondsToBegin(later(wait + 0.01)), 0);
assert.equal(secondsToBegin({ ...plan, speed: 0 }), Infinity);
assert.equal(mayBegin({ ...plan, have: 8000, speed: 0 }), true);
"""

SOUND = """
import { Sound } from "./audio.js";

const sound = new Sound(10, 8000);
sound.append(Float32Array.of(0.5), 1);
assert.equal(sound.speed, 0);
sound.append(Float32Array.of(0.25, -0.25), 1.5);
assert.equal(sound.speed, 4); // the first frame only starts the clock
sound.finish();
assert.deepEqual([sound.have, sound.total], [3, 3]);
assert.deepEqual(Array.from(sound.samples), [0.5, 0.25, -0.25]);
"""

SPEAKER = """
import { Sound, Speaker } from "./audio.js";

let clock = 0;
const pieces = [];
class Context {
  destination = {};
  constructor({ sampleRate }) { this.sampleRate = sampleRate; }
  get currentTime() { return clock; }
  resume() {}
  close() {}
  createBuffer(channels, length) {
    return { length, copyToChannel(data) { this.data = Array.from(data); } };
  }
  createBufferSource() {
    return {
      connect() {},
      start(when) { pieces.push({ when, ...this.buffer }); },
      stop() {},
    };
  }
}
globalThis.AudioContext = Context;

// A sound made at half real time: heard whole, in order, gapless, from the middle of its making on.
const sound = new Sound(8000, 8000);
const speaker = new Speaker();
speaker.wake(8000);
speaker.play(sound);
const states = [];
for (let step = 0; step <= 400; step++) {
  clock = step / 100;
  if (step % 5 === 0 && sound.have < 8000) {
    sound.append(Float32Array.from({ length: 200 }, (_, i) => (sound.have + i) / 8000), clock);
  }
  const { state, sample } = speaker.tick();
  if (states.at(-1) !== state) states.push(state);
  const heard = clock - pieces[0]?.when;
  if (state === "playing" && heard > 0) assert.ok(Math.abs(sample / 8000 - heard) < 0.001);
}
assert.deepEqual(states, ["waiting", "playing", "ended", "idle"]);
assert.ok(pieces[0].when > 0.9 && pieces[0].when < 1.6);
pieces.slice(1).forEach(({ when }, i) => {
  assert.ok(Math.abs(pieces[i].when + pieces[i].length / 8000 - when) < 1e-9);
});
const heard = pieces.flatMap(({ data }) => data);
assert.deepEqual(heard, Array.from(sound.samples));
"""


def test_it_begins_as_early_as_it_can_and_never_runs_dry(tmp_path: Path) -> None:
    run(BEGIN, tmp_path)


def test_a_sound_measures_how_fast_it_comes(tmp_path: Path) -> None:
    run(SOUND, tmp_path)


def test_pieces_join_without_a_gap(tmp_path: Path) -> None:
    run(SPEAKER, tmp_path)
