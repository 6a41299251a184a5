/** Vectors of one job: a row for each dimension, a dot for each item, the numbers of one of them. */

import { permutationOf } from "./client/index.js";
import { make } from "./dom.js";
import { Strip, save } from "./strip.js";

/** The ends of the axis: all levels, or a symmetric range that holds all values. */
export function ends(levels, values) {
  if (levels !== null) return [0, levels - 1];
  const most = values.reduce((top, value) => Math.max(top, Math.abs(value)), 0);
  const top = Math.max(2, Math.ceil(most));
  return [-top, top];
}

/** A value as the table shows it. */
export function shown(value, levels) {
  return levels === null ? value.toFixed(2).replace("-", "−") : String(value);
}

/** Rows of a table of bars: of each {name, from, to, text, colour?} with shares of the axis. */
export function barRow({ name, from, to, text, colour }) {
  const bar = make("i", { className: "bar" });
  const [low, high] = [Math.min(from, to), Math.max(from, to)];
  bar.style.setProperty("--from", `${100 * low}%`);
  bar.style.setProperty("--size", `${100 * (high - low)}%`);
  if (colour) bar.style.setProperty("--bar", colour);
  const track = make("span", { className: "track" }, bar);
  const label = make("span", { className: "row-name" }, name);
  return make("div", { className: "row" }, label, track, make("span", { className: "row-value" }, text));
}

export class Rows {
  constructor(model, started, on) {
    this.model = model;
    const [dims] = model.shape;
    this.names = model.names ?? Array.from({ length: dims }, (_, i) => `x${i + 1}`);
    this.items = Array.from({ length: started.count }, (_, item) => ({
      values: new Array(dims).fill(null),
      order: permutationOf(started, item),
      strip: this.#strip(item, on),
    }));
    this.chosen = 0;
    this.changed = true;
    this.table = make("div", { className: "table", role: "group", "aria-label": "Values" });
    this.element = make("div", { className: "lanes vectors" }, this.table);
    this.element.append(...this.items.map(({ strip }) => strip.element));
  }

  #strip(item, on) {
    const values = () => this.items[item].values;
    const table = () => new Blob([`${this.names.join(",")}\n${values().join(",")}\n`], { type: "text/csv" });
    return new Strip(item, {
      show: ["Show", "Show sample", () => this.#choose(item)],
      score: ["Score", "Score sample", () => on.onPick({ item, codes: values() })],
      save: ["CSV", "Save as CSV sample", () => save(table(), `${this.model.name}-${item + 1}.csv`)],
    });
  }

  #choose(item) {
    this.chosen = item;
    this.changed = true;
    this.show();
  }

  put({ item, firstSite, values }) {
    const { values: own, order } = this.items[item];
    values.forEach((value, i) => {
      own[order ? order[firstSite + i] : firstSite + i] = value;
    });
    this.changed = true;
  }

  show() {
    if (!this.changed) return;
    this.changed = false;
    const { levels } = this.model;
    const all = this.items.flatMap(({ values }) => values.filter((value) => value !== null));
    const [low, high] = ends(levels, all);
    const share = (value) => (value - low) / (high - low);
    const rows = this.names.map((name, dim) => {
      const value = this.items[this.chosen].values[dim];
      const text = value === null ? "" : shown(value, levels);
      const row = barRow({ name, from: share(0), to: share(value ?? 0), text });
      const dots = this.items.map(({ values }, item) => dot(values[dim], item === this.chosen, share));
      row.querySelector(".track").append(...dots.filter(Boolean));
      return row;
    });
    const axis = make("div", { className: "row axis", "aria-hidden": "true" });
    const scale = make("span", { className: "track" }, ...[...new Set([low, 0, high])].map((x) => tick(x, share)));
    axis.append(make("span"), scale, make("span"));
    this.table.replaceChildren(...rows, axis);
    this.items.forEach(({ strip }, item) => {
      strip.element.dataset.chosen = String(item === this.chosen && this.items.length > 1);
    });
  }

  finish(scores) {
    this.items.forEach(({ strip, values }, item) => {
      if (values.includes(null)) return;
      if (this.items.length > 1) strip.offer("show");
      strip.offer("save");
      if (scores === null) return;
      strip.offer("score");
      strip.caption.textContent = `${scores[item].bits_per_dim.toFixed(3)} bits/dim`;
    });
    this.show();
  }

  sounds() {
    return [];
  }
}

function dot(value, chosen, share) {
  if (value === null) return null;
  const mark = make("i", { className: "dot-mark" });
  mark.dataset.chosen = String(chosen);
  mark.style.setProperty("--at", `${100 * share(value)}%`);
  return mark;
}

function tick(value, share) {
  const mark = make("span", { className: "tick" }, String(value).replace("-", "−"));
  mark.style.setProperty("--at", `${100 * share(value)}%`);
  return mark;
}
