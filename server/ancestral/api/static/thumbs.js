/** Items in little: what a model draws, on the mark of its card. */

import { permutationOf } from "./client/index.js";
import { Painter } from "./client/painter.js";
import { amplitudes } from "./codec.js";
import { VOICES } from "./roll.js";
import { envelope, scaled } from "./trace.js";
import { glyphs } from "./verses.js";

const SIDE = 96; // pixels of a mark that is no picture
const SECONDS = 0.12; // of a sound
const CHARACTERS = 60; // of a text
const BEATS = 8; // of a piece of music
const [PLATE, INK, SOFT] = ["#04060a", "#7fd0ff", "#2f6ea8"];

/** So many sites are drawn of an item of open length; null where its length is its own or its series'. */
export function littleOf({ length, sample_rate: rate, codec, conditions }) {
  if (!length || conditions.some(({ kind }) => kind === "series")) return null;
  if (codec?.kind === "midi") return Math.min(length.maximum, BEATS * codec.steps * codec.voices);
  if (rate) return Math.min(length.maximum, Math.ceil(SECONDS * rate));
  return Math.min(length.maximum, CHARACTERS);
}

/** The first item of a stream on a canvas; `words`, if it is read, is its text so far. */
export class Thumb {
  #draw;
  #painter = null;
  #order;

  constructor(canvas, model, started) {
    this.values = [];
    this.#order = permutationOf(started, 0);
    if (model.kind === "image") {
      this.#painter = new Painter(canvas, model, started);
      return;
    }
    canvas.width = canvas.height = SIDE;
    const draw = DRAWN[model.codec?.kind] ?? DRAWN[model.kind];
    this.#draw = () => draw(canvas.getContext("2d"), this.values, model, started.sites);
    this.table = model.kind === "sequence" && model.codec?.kind !== "midi" ? glyphs(model) : null;
  }

  put(frame) {
    if (this.#painter) {
      this.#painter.paint(frame);
      this.values = this.#painter.values;
      return;
    }
    frame.values.forEach((value, i) => {
      const rank = frame.firstSite + i;
      this.values[this.#order ? this.#order[rank] : rank] = value;
    });
    this.#draw();
  }

  get words() {
    return this.table && this.values.map((code) => this.table[code]).join("");
  }
}

const DRAWN = { audio: wave, sequence: page, text: page, midi: notes, vector: bars };

function cleared(context) {
  context.fillStyle = PLATE;
  context.fillRect(0, 0, SIDE, SIDE);
}

function wave(context, values, model, sites) {
  cleared(context);
  const samples = scaled(values, model.levels, model.codec ? amplitudes(model.codec) : null);
  const loudest = samples.reduce((most, x) => Math.max(most, Math.abs(x)), 0.05);
  context.fillStyle = INK;
  for (let x = 0; x < Math.floor((SIDE * values.length) / sites); x++) {
    const [low, high] = envelope(samples, x, SIDE, sites);
    const tall = Math.max(2, ((high - low) / loudest) * SIDE * 0.45);
    context.fillRect(x, SIDE / 2 - (high / loudest) * SIDE * 0.45, 1, tall);
  }
}

function notes(context, values, { codec }, sites) {
  cleared(context);
  const sounding = values.filter((pitch) => pitch > 0);
  const [low, high] = [Math.min(45, ...sounding) - 2, Math.max(75, ...sounding) + 2];
  const wide = SIDE / Math.ceil(sites / codec.voices);
  const tall = Math.max(4, SIDE / (high - low));
  values.forEach((pitch, at) => {
    if (pitch === 0) return;
    context.fillStyle = VOICES[(at % codec.voices) % VOICES.length];
    const x = Math.floor(at / codec.voices) * wide;
    context.fillRect(x, ((high - pitch) / (high - low)) * (SIDE - tall), Math.ceil(wide), tall);
  });
}

function bars(context, values, { levels, shape }) {
  cleared(context);
  const most = levels === null ? Math.max(2, ...values.map(Math.abs)) : levels - 1;
  const tall = SIDE / shape[0];
  values.forEach((value, i) => {
    const share = value / most;
    const [from, wide] = levels === null ? [SIDE / 2, (share * SIDE) / 2] : [0, share * SIDE];
    context.fillStyle = i % 2 ? INK : SOFT;
    context.fillRect(from, i * tall, wide || 1, Math.max(1, tall - 1));
  });
}

/** A text as lines of words: dark where there are letters. */
function page(context, values, model) {
  cleared(context);
  const table = glyphs(model);
  const [columns, rows] = [10, 6];
  context.fillStyle = INK;
  values.slice(0, columns * rows).forEach((code, at) => {
    if (/\s/.test(table[code] ?? "")) return;
    const [x, y] = [at % columns, Math.floor(at / columns)];
    context.fillRect(6 + (x * (SIDE - 12)) / columns, 10 + (y * (SIDE - 14)) / rows, (SIDE - 12) / columns, 5);
  });
}
