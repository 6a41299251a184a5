/** Paints pictures on canvases while they are drawn, site by site. */

import { permutationOf } from "./frames.js";

const EASE_SECONDS = 0.09; // frames come about every 50 ms; sites are shown one by one in between

/** Colours of sites of `dims` values: (values, at) to [red, green, blue], of codes or of intensities in [0, 1]. */
export function colouring({ levels = null, palette = null }, dims) {
  if (palette) return (values, at) => palette[values[at]];
  const top = levels === null ? 1 : levels - 1;
  const shade = (value) => Math.floor((255 * value) / top + 0.5);
  if (dims === 3) return (values, at) => [shade(values[at]), shade(values[at + 1]), shade(values[at + 2])];
  return (values, at) => new Array(3).fill(shade(values[at]));
}

/** One item on one canvas: `model` is an entry of /models, `started` the stream's. */
export class Painter {
  #context;
  #pixels;
  #colour;
  #permutation;
  #shape;
  #dims;
  #cursor;
  #arrived = 0; // ranks whose values are here
  #shown = 0; // ranks that are painted

  /** `cursor`: the colour [red, green, blue] of the site that is drawn next. */
  constructor(canvas, model, started, item = 0, { cursor = null } = {}) {
    const [, height, width] = started.shape;
    canvas.width = width;
    canvas.height = height;
    this.#shape = started.shape;
    this.#dims = started.dims_per_site;
    this.#cursor = cursor;
    this.#colour = colouring(model, this.#dims);
    this.#permutation = permutationOf(started, item);
    this.#context = canvas.getContext("2d");
    this.#pixels = this.#context.createImageData(width, height);
    /** What has arrived, [sites × dims] in raster order. */
    this.values = new Float32Array(height * width * this.#dims);
  }

  /** The item as nested numbers [channels][height][width]. */
  get nested() {
    const [channels, height, width] = this.#shape;
    const at = (c, y, x) => this.values[(y * width + x) * channels + c];
    const row = (c, y) => Array.from({ length: width }, (_, x) => at(c, y, x));
    return Array.from({ length: channels }, (_, c) => Array.from({ length: height }, (_, y) => row(c, y)));
  }

  /** Whether all that has arrived is painted. */
  get settled() {
    return this.#shown === this.#arrived;
  }

  /** Paints a frame's sites where they belong. */
  paint(frame) {
    this.put(frame);
    this.show();
  }

  /** Takes a frame, for `show` to paint. */
  put({ firstSite, count, values }) {
    if (this.settled) this.#shown = firstSite;
    for (let i = 0; i < count; i++) {
      const place = this.#dims * this.#position(firstSite + i);
      for (let c = 0; c < this.#dims; c++) this.values[place + c] = values[i * this.#dims + c];
    }
    this.#arrived = firstSite + count;
  }

  /** Paints what has arrived, as much of it as `seconds` since the last call ask for. */
  show(seconds = Infinity) {
    if (this.settled) return;
    const due = Math.ceil((this.#arrived - this.#shown) * Math.min(1, seconds / EASE_SECONDS));
    for (const end = this.#shown + due; this.#shown < end; this.#shown++) {
      const position = this.#position(this.#shown);
      this.#set(position, this.#colour(this.values, position * this.#dims));
    }
    if (this.#cursor && !this.#whole) this.#set(this.#position(this.#shown), this.#cursor);
    this.#context.putImageData(this.#pixels, 0, 0);
  }

  /** Leaves the picture as it is, without the cursor. */
  stop() {
    this.show();
    if (!this.#cursor || this.#whole) return;
    this.#pixels.data[4 * this.#position(this.#shown) + 3] = 0;
    this.#context.putImageData(this.#pixels, 0, 0);
  }

  get #whole() {
    return this.#shown * this.#dims === this.values.length;
  }

  #position(rank) {
    return this.#permutation ? this.#permutation[rank] : rank;
  }

  #set(position, colour) {
    this.#pixels.data.set([...colour, 255], 4 * position);
  }
}

/** Paints a stream's items on as many canvases to its end; resolves to its `done`. */
export async function paint(stream, canvases, model) {
  let painters = null;
  for await (const frame of stream) {
    painters ??= canvases.map((canvas, item) => new Painter(canvas, model, stream.started, item));
    painters[frame.item].paint(frame);
  }
  return stream.done;
}
