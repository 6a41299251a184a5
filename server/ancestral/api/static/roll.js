/** A piano roll on a canvas: pitch upwards, time to the right, a colour for each voice. */

import { sized } from "./trace.js";

export const VOICES = ["#ffd479", "#7fd0ff", "#9ee493", "#ff9db0", "#c9a9ff", "#f2a35e"];
const [LOW, HIGH] = [40, 80]; // pitches that are always in view
const BEATS = 4; // in a bar
const LINES = { beat: "#141b28", bar: "#2a364c", octave: "#1b2434" };

export class Roll {
  #canvas;
  #codec;
  #steps;
  #codes = [];
  #colour;

  /** `steps` in all; `colour(step, voice)`: the voice's own where it is not given. */
  constructor(canvas, codec, steps, colour = null) {
    this.#canvas = canvas;
    this.#codec = codec;
    this.#steps = Math.max(1, steps);
    this.#colour = colour ?? ((_, voice) => VOICES[voice % VOICES.length]);
    new ResizeObserver(() => this.draw(this.#codes)).observe(canvas);
  }

  /** `codes` [step · voice] as far as they have come. */
  draw(codes) {
    this.#codes = codes;
    const canvas = this.#canvas;
    sized(canvas);
    const context = canvas.getContext("2d");
    const { width, height } = canvas;
    const { voices, steps } = this.#codec;
    const sounding = codes.filter((pitch) => pitch > 0);
    const low = sounding.reduce((least, pitch) => Math.min(least, pitch), LOW) - 2;
    const high = sounding.reduce((most, pitch) => Math.max(most, pitch), HIGH) + 2;
    const [wide, tall] = [width / this.#steps, height / (high - low + 1)];
    const line = (colour, x, y, w, h) => {
      context.fillStyle = colour;
      context.fillRect(Math.round(x), Math.round(y), Math.max(1, Math.round(w)), Math.max(1, Math.round(h)));
    };
    context.clearRect(0, 0, width, height);
    for (let pitch = 12 * Math.ceil(low / 12); pitch <= high; pitch += 12) {
      line(LINES.octave, 0, (high - pitch + 1) * tall, width, 1);
    }
    for (let step = 0; step < this.#steps; step += steps) {
      line(step % (BEATS * steps) ? LINES.beat : LINES.bar, step * wide, 0, 1, height);
    }
    codes.forEach((pitch, at) => {
      if (pitch === 0) return;
      const [step, voice] = [Math.floor(at / voices), at % voices];
      const held = codes[at - voices] === pitch;
      const left = Math.round(step * wide) + (held ? 0 : 1);
      const end = Math.round((step + 1) * wide);
      const bar = Math.max(3, tall * 0.86);
      line(this.#colour(step, voice), left, (high - pitch + 0.5) * tall - bar / 2, end - left, bar);
    });
  }
}
