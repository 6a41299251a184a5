/** Pictures that fill site by site: codes in generation order onto a canvas. */

import { intensities } from "./codec.js";

const CURSOR = [94, 200, 255]; // the site that is generated next
const EASE_SECONDS = 0.09; // frames come about every 50 ms; sites are shown one by one in between

/** Colours of an image model's sites: (values, at, dims) to [r, g, b]. */
export function colouring({ levels, palette, dims_per_site: dims }) {
  if (palette) return (values, at) => palette[values[at]];
  if (levels === null) return (values, at) => realColour(values, at, dims);
  const table = intensities(levels);
  if (dims === 3) {
    return (values, at) => [table[values[at]], table[values[at + 1]], table[values[at + 2]]];
  }
  return (values, at) => [table[values[at]], table[values[at]], table[values[at]]];
}

/** Real values are taken as intensities in [0, 1]; the canvas clamps the rest. */
function realColour(values, at, dims) {
  const channel = (c) => 255 * values[at + (dims === 3 ? c : 0)];
  return [channel(0), channel(1), channel(2)];
}

/** Codes [S, C] in position order as nested numbers [C][H][W]. */
export function planes(codes, [channels, height, width]) {
  return Array.from({ length: channels }, (_, c) =>
    Array.from({ length: height }, (_, row) =>
      Array.from({ length: width }, (_, x) => codes[(row * width + x) * channels + c]),
    ),
  );
}

/** One item on its canvas. */
export class Picture {
  /** `model`: an entry of /models; `permutation`: position of each rank, null for raster. */
  constructor(canvas, model, permutation = null) {
    const [, height, width] = model.shape;
    canvas.width = width;
    canvas.height = height;
    this.model = model;
    this.dims = model.dims_per_site;
    this.sites = height * width;
    this.codes = new Float32Array(this.sites * this.dims); // [S, C] in position order
    this.#permutation = permutation;
    this.#colour = colouring(model);
    this.#context = canvas.getContext("2d");
    this.#pixels = this.#context.createImageData(width, height);
  }

  #permutation;
  #colour;
  #context;
  #pixels;
  #arrived = 0; // ranks whose codes are here
  #shown = 0; // ranks that are painted

  get nested() {
    return planes(this.codes, this.model.shape);
  }

  get settled() {
    return this.#shown === this.#arrived;
  }

  /** Takes values of consecutive ranks; `show` paints them. */
  put(firstSite, values) {
    const count = values.length / this.dims;
    for (let i = 0; i < count; i++) {
      const position = this.#position(firstSite + i);
      for (let c = 0; c < this.dims; c++) {
        this.codes[position * this.dims + c] = values[i * this.dims + c];
      }
    }
    this.#arrived = firstSite + count;
  }

  /** Paints what has arrived, as much of it as `seconds` since the last call ask for. */
  show(seconds = Infinity) {
    if (this.settled) return;
    const waiting = this.#arrived - this.#shown;
    const due = Math.ceil(waiting * Math.min(1, seconds / EASE_SECONDS));
    for (const end = this.#shown + due; this.#shown < end; this.#shown++) {
      const position = this.#position(this.#shown);
      this.#set(position, this.#colour(this.codes, position * this.dims));
    }
    if (this.#shown < this.sites) this.#set(this.#position(this.#shown), CURSOR);
    this.#context.putImageData(this.#pixels, 0, 0);
  }

  /** Leaves the picture as it is, without the cursor. */
  stop() {
    this.show();
    if (this.#shown === this.sites) return;
    this.#pixels.data[4 * this.#position(this.#shown) + 3] = 0;
    this.#context.putImageData(this.#pixels, 0, 0);
  }

  #position(rank) {
    return this.#permutation ? this.#permutation[rank] : rank;
  }

  #set(position, [red, green, blue]) {
    this.#pixels.data.set([red, green, blue, 255], 4 * position);
  }
}
