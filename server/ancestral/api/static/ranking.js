/** A table of several scored files, sorted by any of its columns. */

import { $, make } from "./dom.js";
import { verdict } from "./score.js";

const COLUMNS = { name: "File", bits_per_dim: "Bits/dim", percentile: "Percentile" };

export class Ranking {
  #rows = [];
  #by = "percentile";
  #upwards = true;
  #onOpen;

  /** `onOpen(file)` is called for the file of a row that is chosen. */
  constructor(onOpen) {
    this.#onOpen = onOpen;
  }

  clear() {
    this.#rows = [];
    $("ranking").hidden = true;
  }

  /** Adds rows: {file, result} with the server's result, or {file, error} in words. */
  add(rows) {
    this.#rows.push(...rows.map((row) => ({ name: row.file.name, ...row.result, ...row })));
    this.#draw();
  }

  #draw() {
    const value = (row) => row[this.#by] ?? row.bits_per_dim ?? Infinity;
    const sign = this.#upwards ? 1 : -1;
    const compare = (a, b) => {
      if (this.#by === "name") return sign * a.name.localeCompare(b.name, "en", { numeric: true });
      return sign * (value(a) - value(b)) || a.name.localeCompare(b.name, "en", { numeric: true });
    };
    const heads = Object.entries(COLUMNS).map(([by, text]) => {
      const button = make("button", { type: "button", className: "sort" }, text);
      const sorted = by === this.#by ? (this.#upwards ? "ascending" : "descending") : "none";
      button.addEventListener("click", () => {
        this.#upwards = by === this.#by ? !this.#upwards : true;
        this.#by = by;
        this.#draw();
        $("ranking").querySelectorAll(".sort")[Object.keys(COLUMNS).indexOf(by)].focus();
      });
      return make("th", { scope: "col", "aria-sort": sorted }, button);
    });
    const rows = [...this.#rows].sort(compare).map((row) => this.#row(row));
    const head = make("thead", {}, make("tr", {}, ...heads));
    $("ranking").replaceChildren(make("table", {}, head, make("tbody", {}, ...rows)));
    $("ranking").hidden = false;
  }

  #row({ file, name, error, bits_per_dim: bits, percentile, reference_n: count }) {
    const open = make("button", { type: "button", className: "open" }, name);
    open.addEventListener("click", () => this.#onOpen(file));
    const head = make("th", { scope: "row" }, open);
    if (error) return make("tr", {}, head, make("td", { colSpan: 2, className: "bad" }, error));
    const rank = make("td", {}, percentile === null ? "–" : percentile.toFixed(1));
    rank.dataset.level = verdict(percentile, count).level;
    return make("tr", {}, head, make("td", {}, bits.toFixed(3)), rank);
  }
}
