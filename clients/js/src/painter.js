/** Paints pictures on canvases while they are drawn, site by site. */

/** Colours of sites: (values, at) to [red, green, blue], of codes or of intensities in [0, 1]. */
function colouring({ levels = null, palette = null }, dims) {
  if (palette) return (values, at) => palette[values[at]];
  const scale = levels === null ? 255 : 255 / (levels - 1);
  return (values, at) => [0, 1, 2].map((c) => Math.floor(scale * values[at + (dims === 3 ? c : 0)] + 0.5));
}

/** One item on one canvas: `model` is an entry of /models, `started` the stream's. */
export class Painter {
  #context;
  #pixels;
  #colour;
  #permutation;
  #dims;

  constructor(canvas, model, started, item = 0) {
    const [, height, width] = started.shape;
    canvas.width = width;
    canvas.height = height;
    this.#dims = started.dims_per_site;
    this.#colour = colouring(model, this.#dims);
    const named = started.item_orders && started.permutations[started.item_orders[item]];
    this.#permutation = named ?? started.permutation ?? null;
    this.#context = canvas.getContext("2d");
    this.#pixels = this.#context.createImageData(width, height);
  }

  /** Paints a frame's sites where they belong. */
  paint(frame) {
    for (let i = 0; i < frame.count; i++) {
      const rank = frame.firstSite + i;
      const position = this.#permutation ? this.#permutation[rank] : rank;
      const colour = this.#colour(frame.values, i * this.#dims);
      this.#pixels.data.set([...colour, 255], 4 * position);
    }
    this.#context.putImageData(this.#pixels, 0, 0);
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
