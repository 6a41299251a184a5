/** Figures of a score: a picture beside its map of surprise, a sound coloured by it. */

import { css, heat, paintKey } from "./colour.js";
import { figure, make } from "./dom.js";
import { Trace } from "./trace.js";

const TOP = 0.995; // quantile of the map at which its scale ends

/** Bits of surprise per site, from nats per dimension: [C][H][W] summed over C, or [T]. */
export function surpriseBits(perDim) {
  if (!Array.isArray(perDim[0])) return Float64Array.from(perDim, (nats) => -nats / Math.LN2);
  const [height, width] = [perDim[0].length, perDim[0][0].length];
  const bits = new Float64Array(height * width);
  for (const plane of perDim) {
    plane.flat().forEach((nats, i) => {
      bits[i] -= nats / Math.LN2;
    });
  }
  return bits;
}

/** Bits at the end of the scale. */
export function ceiling(bits) {
  const sorted = Float64Array.from(bits).sort();
  return Math.max(sorted[Math.floor(TOP * (sorted.length - 1))], 1e-6);
}

/** The scale of a map: its colours from 0 to `top` bits. */
export function key(top, what) {
  const canvas = make("canvas", { className: "key", "aria-hidden": "true" });
  paintKey(canvas);
  const end = `${top.toFixed(top < 10 ? 2 : 0)} bits`;
  return make("p", { className: "scale" }, "0", canvas, end, make("span", {}, what));
}

/**
 * A picture and its map, with linked crosshairs that pointer and arrow keys move.
 *
 * `paint(context)` draws the picture at its own size [height, width].
 */
export function pictureFigures({ shape, perDim, paint, pictureName }) {
  const [, height, width] = shape;
  const bits = surpriseBits(perDim);
  const top = ceiling(bits);
  const map = make("canvas", { className: "pixels", width, height });
  const context = map.getContext("2d");
  bits.forEach((value, i) => {
    context.fillStyle = css(heat(value / top));
    context.fillRect(i % width, Math.floor(i / width), 1, 1);
  });
  const frames = [];
  if (paint) {
    const picture = make("canvas", { className: "pixels", width, height });
    paint(picture.getContext("2d"));
    frames.push(framed(picture, pictureName));
  }
  frames.push(framed(map, "Surprise per pixel"));
  const say = make("output", { className: "probe" }, "Point at a pixel, or move with arrow keys.");
  probe(frames, bits, width, height, say);
  const pair = make("div", { className: "pair" }, ...frames.map(({ element }) => element));
  const over = make("input", { type: "checkbox" });
  over.addEventListener("change", () => (pair.dataset.over = String(over.checked)));
  const lay = make("label", { className: "check", hidden: !paint }, over, make("span", {}, "Lay it over the picture"));
  return [pair, key(top, "per pixel"), lay, say];
}

function framed(canvas, text) {
  const cross = make("span", { className: "cross", hidden: true });
  const box = make("div", { className: "map", tabIndex: 0, role: "group", "aria-label": text }, canvas, cross);
  const element = make("figure", {}, box, make("figcaption", {}, text));
  return { element, box, cross };
}

function probe(frames, bits, width, height, say) {
  let [x, y] = [Math.floor(width / 2), Math.floor(height / 2)];
  const move = (column, row) => {
    x = Math.min(width - 1, Math.max(0, column));
    y = Math.min(height - 1, Math.max(0, row));
    for (const { cross } of frames) {
      cross.hidden = false;
      const place = { "--x": x / width, "--y": y / height, "--w": 1 / width, "--h": 1 / height };
      for (const [name, share] of Object.entries(place)) cross.style.setProperty(name, `${share * 100}%`);
    }
    say.textContent = `row ${y}, column ${x}: ${bits[y * width + x].toFixed(2)} bits`;
  };
  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  for (const { box } of frames) {
    box.addEventListener("pointermove", (event) => {
      const place = box.getBoundingClientRect();
      move(
        Math.floor(((event.clientX - place.left) / place.width) * width),
        Math.floor(((event.clientY - place.top) / place.height) * height),
      );
    });
    box.addEventListener("keydown", (event) => {
      const step = arrows[event.key];
      if (!step) return;
      event.preventDefault();
      move(x + step[0], y + step[1]);
    });
  }
}

/** A signal [T] coloured by surprise, and the surprise itself as a curve below. */
export function signalFigures({ samples, perDim }) {
  const bits = surpriseBits(perDim);
  const total = bits.length;
  const span = Math.max(1, Math.round(total / 400)); // samples that one colour stands for
  const local = smoothed(bits, span);
  const top = ceiling(local);
  const colour = (i) => css(heat(0.25 + (0.75 * local[Math.min(i, total - 1)]) / top));
  const curve = make("canvas", { className: "waves curve" });
  const plots = [curve];
  const level = Float32Array.from(local, (value) => (2 * Math.min(value, top)) / top - 1);
  if (samples) {
    const waves = make("canvas", { className: "waves" });
    plots.unshift(waves);
    new Trace(waves, null, colour).draw({ samples, have: total, total });
  }
  new Trace(curve, null, colour).draw({ samples: level, have: total, total });
  const most = local.indexOf(Math.max(...local.subarray(0, total)));
  const say = `Most surprising around sample ${figure(most)}: ${local[most].toFixed(2)} bits per sample.`;
  return [
    make("div", { className: "plot" }, ...plots),
    key(top, "per sample"),
    make("output", { className: "probe" }, say),
  ];
}

/** Means over the `span` values around each; fewer at the ends. */
export function smoothed(values, span) {
  const sums = new Float64Array(values.length + 1);
  values.forEach((value, i) => {
    sums[i + 1] = sums[i] + value;
  });
  return Float64Array.from(values, (_, i) => {
    const from = Math.max(0, i - (span >> 1));
    const to = Math.min(values.length, i + span - (span >> 1));
    return (sums[to] - sums[from]) / (to - from);
  });
}
