/** Pictures of one job: a grid that fills. */

import { Painter } from "./client/painter.js";
import { make } from "./dom.js";
import { outlined } from "./outline.js";
import { save } from "./strip.js";

const CURSOR = [94, 200, 255]; // the pixel that is drawn next
const SAVED = 512; // pixels that the shorter side of a saved grid has at least

/** Columns of a near-square grid without needless empty places. */
export function columnsFor(count, wide = false) {
  const most = Math.ceil(Math.sqrt(count * (wide ? 2 : 1)));
  for (let columns = most; columns * 2 > most && columns > 1; columns--) {
    if (count % columns === 0) return columns;
  }
  return most;
}

/** Pictures of one job. */
export class Pictures {
  constructor(model, started, { onPick }, { known }) {
    this.columns = columnsFor(started.count, model.shape[2] <= model.shape[1]);
    this.tiles = Array.from({ length: started.count }, (_, item) => {
      const canvas = make("canvas", { className: "pixels" });
      const tile = make(
        "button",
        { type: "button", className: "tile", disabled: true },
        outlined(canvas, known),
        make("span", { className: "caption" }),
      );
      const picture = new Painter(canvas, model, started, item, { cursor: CURSOR });
      tile.addEventListener("click", () => onPick({ codes: picture.nested, item }));
      return { tile, picture, canvas };
    });
    const tiles = make("div", { className: "tiles" }, ...this.tiles.map(({ tile }) => tile));
    tiles.style.setProperty("--columns", this.columns);
    const rows = Math.ceil(started.count / this.columns);
    const aspect = (this.columns * model.shape[2]) / (rows * model.shape[1]);
    tiles.style.setProperty("--aspect", aspect);
    tiles.dataset.many = String(started.count > 25);
    this.png = make("button", { type: "button", className: "plain", hidden: true }, "PNG");
    this.png.setAttribute("aria-label", "Save as PNG");
    this.png.addEventListener("click", () => this.#save(model.name));
    const legend = known === null ? "" : "The line parts what was given from what was drawn.";
    const bar = make("div", { className: "lane-bar" }, make("span", { className: "caption" }, legend), this.png);
    this.element = make("div", { className: "pictures" }, tiles, bar);
  }

  /** All pictures in one, each pixel a square of several. */
  #save(name) {
    const { width, height } = this.tiles[0].canvas;
    const rows = Math.ceil(this.tiles.length / this.columns);
    const scale = Math.ceil(SAVED / Math.min(this.columns * width, rows * height));
    const sheet = make("canvas", { width: this.columns * width * scale, height: rows * height * scale });
    const context = sheet.getContext("2d");
    context.imageSmoothingEnabled = false;
    this.tiles.forEach(({ canvas }, item) => {
      const [x, y] = [item % this.columns, Math.floor(item / this.columns)];
      context.drawImage(canvas, x * width * scale, y * height * scale, width * scale, height * scale);
    });
    sheet.toBlob((blob) => save(blob, `${name}.png`), "image/png");
  }

  put(frame) {
    this.tiles[frame.item].picture.put(frame);
  }

  show(seconds) {
    for (const { picture } of this.tiles) picture.show(seconds);
  }

  finish(scores) {
    this.png.hidden = false;
    this.tiles.forEach(({ tile, picture }, item) => {
      picture.stop();
      if (scores === null) return;
      const bits = scores[item].bits_per_dim.toFixed(3);
      tile.disabled = false;
      tile.title = `${bits} bits/dim: see its surprise`;
      tile.setAttribute("aria-label", `Sample ${item + 1}, ${bits} bits per dimension: score it`);
      tile.querySelector(".caption").textContent = bits;
    });
  }

  sounds() {
    return [];
  }
}
