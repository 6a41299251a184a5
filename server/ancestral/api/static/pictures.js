/** Pictures of one job: a grid that fills. */

import { make } from "./dom.js";
import { Picture } from "./painter.js";
import { permutationOf } from "./protocol.js";

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
  constructor(model, started, { onPick }) {
    this.columns = columnsFor(started.count, model.shape[2] <= model.shape[1]);
    this.tiles = Array.from({ length: started.count }, (_, item) => {
      const canvas = make("canvas", { className: "pixels" });
      const tile = make(
        "button",
        { type: "button", className: "tile", disabled: true },
        canvas,
        make("span", { className: "caption" }),
      );
      const picture = new Picture(canvas, model, permutationOf(started, item));
      tile.addEventListener("click", () => onPick({ codes: picture.nested, item }));
      return { tile, picture, canvas };
    });
    this.element = make("div", { className: "tiles" }, ...this.tiles.map(({ tile }) => tile));
    this.element.style.setProperty("--columns", this.columns);
    const rows = Math.ceil(started.count / this.columns);
    const aspect = (this.columns * model.shape[2]) / (rows * model.shape[1]);
    this.element.style.setProperty("--aspect", aspect);
    this.element.dataset.many = String(started.count > 25);
  }

  put({ item, firstSite, values }) {
    this.tiles[item].picture.put(firstSite, values);
  }

  show(seconds) {
    for (const { picture } of this.tiles) picture.show(seconds);
  }

  finish(scores) {
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
