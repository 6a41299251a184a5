/** Figures of a score by what was scored: the item as the model read it, and its surprise. */

import { colouring } from "./client/painter.js";
import { amplitudes } from "./codec.js";
import { css, heat } from "./colour.js";
import { make } from "./dom.js";
import { Roll } from "./roll.js";
import { barRow, ends, shown } from "./rows.js";
import { ceiling, key, pictureFigures, signalFigures, surpriseBits } from "./surprise.js";
import { scaled } from "./trace.js";
import { glyphs } from "./verses.js";

const READABLE = 20_000; // characters of a text that are shown

const FIGURES = {
  image: pictures,
  audio: sound,
  vector: values,
  sequence: text,
  midi: music,
};

/** Elements that show an item's codes and `perDim` (nats), both shaped like the item. */
export function figuresOf(model, codes, perDim) {
  return (FIGURES[model.codec?.kind] ?? FIGURES[model.kind])(model, codes, perDim);
}

function pictures(model, codes, perDim) {
  const colour = colouring(model, model.dims_per_site);
  const [, height, width] = model.shape;
  const paint = (context) => {
    for (let i = 0; i < height * width; i++) {
      const site = codes.map((plane) => plane[Math.floor(i / width)][i % width]);
      context.fillStyle = `rgb(${colour(site, 0).join(" ")})`;
      context.fillRect(i % width, Math.floor(i / width), 1, 1);
    }
  };
  return pictureFigures({ shape: model.shape, perDim, paint, pictureName: "As the model reads it" });
}

function sound({ codec, levels }, codes, perDim) {
  const samples = scaled(codes, levels, codec ? amplitudes(codec) : null);
  return signalFigures({ samples, perDim });
}

/** Black or white, whichever is read better on a colour. */
function ink(rgb) {
  const [red, green, blue] = rgb.map((x) => (x / 255) ** 2.2);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.18 ? "#000" : "#fff";
}

function text(model, codes, perDim) {
  const bits = surpriseBits(perDim);
  const top = ceiling(bits);
  const table = glyphs(model);
  const letters = codes.slice(0, READABLE).map((code, i) => {
    const glyph = table[code];
    const colour = heat(bits[i] / top);
    const letter = make("span", {}, glyph === "\n" ? "↵\n" : glyph);
    letter.style.setProperty("--tint", css(colour));
    letter.style.setProperty("--ink", ink(colour));
    return letter;
  });
  const page = make("div", { className: "tinted", tabIndex: 0, role: "group" }, ...letters);
  page.setAttribute("aria-label", "Surprise per character");
  const say = make("output", { className: "probe" }, "Point at a character, or move with arrow keys.");
  let at = -1;
  const move = (to) => {
    letters[at]?.removeAttribute("data-here");
    at = Math.min(letters.length - 1, Math.max(0, to));
    letters[at].dataset.here = "";
    const likely = 2 ** -bits[at];
    const share = likely < 0.001 ? "below 0.1 %" : `${(100 * likely).toFixed(1)} %`;
    say.textContent = `${JSON.stringify(table[codes[at]])}, character ${at + 1}: ${bits[at].toFixed(2)} bits, ${share}`;
  };
  page.addEventListener("pointermove", ({ target }) => {
    if (target !== page) move(letters.indexOf(target));
  });
  page.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    move(at + step);
  });
  return [page, key(top, "per character"), say];
}

function music({ codec }, codes, perDim) {
  const bits = surpriseBits(perDim);
  const top = ceiling(bits);
  const { voices, steps } = codec;
  const canvas = make("canvas", { className: "roll", role: "img", "aria-label": "Notes by surprise" });
  const colour = (step, voice) => css(heat(0.2 + (0.8 * bits[step * voices + voice]) / top));
  new Roll(canvas, codec, Math.ceil(codes.length / voices), colour).draw(codes);
  const most = bits.indexOf(bits.reduce((a, b) => Math.max(a, b)));
  const bar = Math.floor(most / voices / steps / 4) + 1;
  const say = `Most surprising in bar ${bar}, voice ${(most % voices) + 1}: ${bits[most].toFixed(2)} bits.`;
  const plot = make("div", { className: "plot" }, canvas);
  return [plot, key(top, "per voice and step"), make("output", { className: "probe" }, say)];
}

function values(model, codes, perDim) {
  const bits = surpriseBits(perDim);
  const [low, high] = [Math.min(0, ...bits), Math.max(1e-6, ...bits)];
  const [first, last] = ends(model.levels, codes);
  const share = (x) => (x - low) / (high - low);
  const rows = codes.map((value, dim) => {
    const name = model.names?.[dim] ?? `x${dim + 1}`;
    const colour = css(heat(0.25 + 0.75 * Math.max(0, bits[dim] / high)));
    const text = `${bits[dim].toFixed(1).replace("-", "−")} bits`;
    const row = barRow({ name, from: share(0), to: share(bits[dim]), text, colour });
    row.title = `${name} = ${shown(value, model.levels)} on an axis from ${first} to ${last}`;
    row.querySelector(".row-name").append(make("b", {}, ` ${shown(value, model.levels)}`));
    return row;
  });
  const table = make("div", { className: "table", role: "group", "aria-label": "Surprise per value" });
  table.append(...rows);
  const most = bits.indexOf(Math.max(...bits));
  const name = model.names?.[most] ?? `x${most + 1}`;
  const density = model.levels === null ? "Bits of density: below 0 where it is above 1. " : "";
  const say = `${density}Most surprising: ${name}, ${bits[most].toFixed(2)} bits.`;
  return [table, make("output", { className: "probe" }, say)];
}
