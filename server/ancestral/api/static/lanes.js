/** Sounds of one job: a lane with waveform and spectrogram for each. */

import { Recording } from "./audio.js";
import { permutationOf } from "./client/index.js";
import { amplitudes, wavFile } from "./codec.js";
import { make } from "./dom.js";
import { shaded } from "./outline.js";
import { Strip, save } from "./strip.js";
import { Trace, scaled } from "./trace.js";

export class Lanes {
  constructor(model, started, on, { prefix }) {
    this.model = model;
    this.given = prefix?.length ?? 0;
    this.sites = started.sites;
    this.rate = model.sample_rate; // sites heard per second
    this.orders = Array.from({ length: started.count }, (_, i) => permutationOf(started, i));
    this.table = model.codec ? amplitudes(model.codec) : null;
    this.lanes = Array.from({ length: started.count }, (_, item) => this.#lane(item, on));
    this.element = make("div", { className: "lanes" }, ...this.lanes.map(({ row }) => row));
    this.element.dataset.many = String(started.count > 2);
  }

  #lane(item, on) {
    const waves = make("canvas", { className: "waves" });
    const spectra = make("canvas", { className: "spectra" });
    const head = make("span", { className: "head", hidden: true });
    const sound = new Recording(this.sites, this.rate);
    const codes = new Float32Array(this.sites);
    const all = () => Array.from(codes.subarray(0, sound.have));
    const strip = new Strip(item, {
      play: ["Play", "Play sample", () => on.onPlay(sound)],
      score: ["Score", "Score sample", () => on.onPick({ item, codes: all() })],
      go: ["Continue", "Continue sample", () => on.onContinue({ item, codes: all() })],
      save: ["WAV", "Save as WAV sample", () => save(wavFile(sound.samples, sound.rate), `sample-${item + 1}.wav`)],
    });
    const plot = make("div", { className: "plot" }, waves, spectra, ...shaded(this.given, this.sites), head);
    const row = make("div", { className: "lane" }, plot, strip.element);
    return { row, sound, codes, strip, head, trace: new Trace(waves, spectra), changed: false };
  }

  put({ item, firstSite, values }) {
    const lane = this.lanes[item];
    const order = this.orders[item];
    const samples = scaled(values, this.model.levels, this.table);
    if (order === null) {
      lane.codes.set(values, firstSite);
      lane.sound.append(samples);
    } else {
      order.slice(firstSite, firstSite + values.length).forEach((position, i) => {
        lane.codes[position] = values[i];
        lane.sound.samples[position] = samples[i];
      });
    }
    lane.changed = true;
  }

  show() {
    for (const lane of this.lanes.filter(({ changed }) => changed)) {
      // values that come here and there change the whole line
      const all = this.orders[0] !== null;
      lane.trace.draw(all ? { ...lane.sound, have: this.sites } : lane.sound, all);
      lane.changed = false;
    }
  }

  finish(scores) {
    this.lanes.forEach(({ sound, trace, strip }, item) => {
      if (this.orders[item] !== null) sound.have = this.sites;
      sound.finish();
      if (sound.have === 0) return;
      trace.draw(sound);
      strip.offer("play", "save", ...(goesOn(this.model) ? ["go"] : []));
      if (scores === null) return;
      strip.offer("score");
      strip.caption.textContent = `${scores[item].bits_per_dim.toFixed(3)} bits/dim`;
    });
  }

  sounds() {
    return this.lanes.map(({ sound }) => sound);
  }

  /** Puts the playhead of `sound` at a sample and names what its button does; null: no sound. */
  heard(sound, sample) {
    for (const lane of this.lanes) moveHead(lane, sound, sample);
  }
}

/** Whether items can be continued: those of a series are as long as it is. */
export function goesOn({ length, conditions }) {
  return length !== null && conditions.every(({ kind }) => kind === "label");
}

/** The playhead of one lane, and what its button does. */
export function moveHead({ head, strip, sound: own }, sound, sample) {
  head.hidden = own !== sound;
  strip.buttons.play.textContent = own === sound ? "Stop" : "Play";
  if (own === sound) head.style.setProperty("--at", `${(100 * sample) / own.total}%`);
}
