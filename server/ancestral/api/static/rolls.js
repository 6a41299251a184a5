/** Music of one job: a piano roll for each item, heard as it comes. */

import { wavFile } from "./codec.js";
import { make } from "./dom.js";
import { moveHead } from "./lanes.js";
import { midiFile } from "./midi.js";
import { shaded } from "./outline.js";
import { Roll } from "./roll.js";
import { Strip, save } from "./strip.js";
import { Synth, stepSeconds } from "./synth.js";

export class Rolls {
  constructor(model, started, on, { prefix }) {
    this.model = model;
    this.given = prefix?.length ?? 0;
    this.codec = model.codec;
    this.steps = Math.ceil(started.sites / this.codec.voices);
    this.rate = this.codec.voices / stepSeconds(this.codec); // sites heard per second
    this.lanes = Array.from({ length: started.count }, (_, item) => this.#lane(item, on));
    this.element = make("div", { className: "lanes" }, ...this.lanes.map(({ row }) => row));
    this.element.dataset.many = String(started.count > 2);
  }

  #lane(item, on) {
    const canvas = make("canvas", { className: "roll", role: "img" });
    canvas.setAttribute("aria-label", `Piano roll of sample ${item + 1}`);
    const head = make("span", { className: "head", hidden: true });
    const codes = [];
    const synth = new Synth(this.codec, this.steps);
    const { sound } = synth;
    const name = `${this.model.name}-${item + 1}`;
    const strip = new Strip(item, {
      play: ["Play", "Play sample", () => on.onPlay(sound)],
      score: ["Score", "Score sample", () => on.onPick({ item, codes })],
      go: ["Continue", "Continue sample", () => on.onContinue({ item, codes })],
      midi: ["MIDI", "Save as MIDI sample", () => save(midiFile(codes, this.codec), `${name}.mid`)],
      save: ["WAV", "Save as WAV sample", () => save(wavFile(sound.samples, sound.rate), `${name}.wav`)],
    });
    const plot = make("div", { className: "plot" }, canvas, ...shaded(this.given, this.steps * this.codec.voices), head);
    const row = make("div", { className: "lane" }, plot, strip.element);
    const roll = new Roll(canvas, this.codec, this.steps);
    return { row, codes, synth, sound, strip, head, roll, heardSteps: 0, changed: true };
  }

  put({ item, values }) {
    const lane = this.lanes[item];
    lane.codes.push(...values);
    lane.changed = true;
    this.#sound(lane, Math.floor(lane.codes.length / this.codec.voices));
  }

  #sound(lane, steps) {
    const { voices } = this.codec;
    for (; lane.heardSteps < steps; lane.heardSteps++) {
      const from = lane.heardSteps * voices;
      const pitches = Array.from({ length: voices }, (_, voice) => lane.codes[from + voice] ?? 0);
      lane.synth.step(pitches);
    }
  }

  show() {
    for (const lane of this.lanes.filter(({ changed }) => changed)) {
      lane.roll.draw(lane.codes);
      lane.changed = false;
    }
  }

  finish(scores) {
    this.lanes.forEach((lane, item) => {
      this.#sound(lane, Math.ceil(lane.codes.length / this.codec.voices));
      lane.sound.finish();
      if (lane.codes.length === 0) return;
      lane.strip.offer("play", "midi", "save", "go");
      if (scores === null) return;
      lane.strip.offer("score");
      lane.strip.caption.textContent = `${scores[item].bits_per_dim.toFixed(3)} bits/dim`;
    });
    this.show();
  }

  sounds() {
    return this.lanes.map(({ sound }) => sound);
  }

  heard(sound, sample) {
    for (const lane of this.lanes) moveHead(lane, sound, sample);
  }
}
