/** The easel: a picture of which a part is given; the rest is for the model to fill in. */

import { colouring } from "./client/painter.js";
import { $, make } from "./dom.js";

const UNKNOWN = [
  [24, 48, 84],
  [31, 61, 106],
]; // a chequer where nothing is given
const PARTS = {
  top: (x, y) => y < 0.5,
  bottom: (x, y) => y >= 0.5,
  left: (x) => x < 0.5,
  right: (x) => x >= 0.5,
  middle: (x, y) => Math.abs(x - 0.5) < 0.25 && Math.abs(y - 0.5) < 0.25,
  all: () => true,
};
const TOOLS = ["hide", "keep", "ink", "paper"];
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const BRUSH = [94, 200, 255]; // where the brush is, when keys move it
const REACH = 0.055; // of the brush, as a share of the picture's height

/** Codes [C][H][W] with null in all channels of the sites that are not `kept` [H · W]. */
export function withHoles(codes, kept) {
  return codes.map((plane) =>
    plane.map((row, y) => row.map((code, x) => (kept[y * row.length + x] ? code : null))),
  );
}

export class Easel {
  #model = null;
  #codes = null; // [C][H][W]
  #kept = null; // [H · W]
  #last = null; // where the brush was, in pixels
  #at = { x: 0, y: 0 }; // the pixel where the arrow keys have it

  constructor() {
    const canvas = $("easel-canvas");
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.#last = null;
      this.#brush(event);
    });
    canvas.addEventListener("pointermove", (event) => event.buttons && this.#brush(event));
    canvas.addEventListener("keydown", (event) => this.#steer(event));
    for (const change of ["focus", "blur"]) canvas.addEventListener(change, () => this.#draw());
    $("easel-parts").append(
      ...Object.entries(PARTS).map(([name, inside]) => {
        const button = make("button", { type: "button", className: "plain" }, name);
        button.addEventListener("click", () => this.#part(inside));
        return button;
      }),
    );
    const tools = TOOLS.map((name) => {
      const radio = { type: "radio", name: "tool", value: name, checked: name === "hide", className: "hidden" };
      return make("label", { className: "chip small" }, make("input", radio), make("span", {}, name));
    });
    $("easel-tools").append(...tools);
    $("easel-open").addEventListener("click", () => this.#open($("easel").hidden));
  }

  /** Puts a blank picture of a model on; closed, and hidden for what is no picture. */
  choose(model) {
    this.#model = model;
    const picture = model.kind === "image";
    $("easel-open").hidden = !picture;
    this.#open(false);
    if (!picture) return;
    const [channels, height, width] = model.shape;
    const plane = () => Array.from({ length: height }, () => new Array(width).fill(0));
    this.#codes = Array.from({ length: channels }, plane);
    this.#kept = new Uint8Array(height * width);
    this.#at = { x: width >> 1, y: height >> 1 };
    Object.assign($("easel-canvas"), { width, height });
    this.#draw();
  }

  /** Puts an item on, its lower half hidden. */
  load(codes) {
    this.#codes = codes.map((plane) => plane.map((row) => [...row]));
    this.#open(true);
    this.#part(PARTS.bottom);
  }

  /** Puts on what a request gives as `known`. */
  restore(known) {
    this.#codes = known.map((plane) => plane.map((row) => row.map((code) => code ?? 0)));
    this.#kept = Uint8Array.from(known[0].flat(), (code) => Number(code !== null));
    this.#open(true);
    this.#draw();
  }

  /** What is given, as `known` of a request; null where that is nothing. */
  get known() {
    if ($("easel").hidden || !this.#kept.some(Boolean)) return null;
    return withHoles(this.#codes, this.#kept);
  }

  #open(on) {
    $("easel").hidden = !on;
    $("easel-open").setAttribute("aria-expanded", String(on));
  }

  #part(inside) {
    const [, height, width] = this.#model.shape;
    this.#kept = this.#kept.map((_, i) => {
      const [x, y] = [((i % width) + 0.5) / width, (Math.floor(i / width) + 0.5) / height];
      return inside(x, y) ? 0 : 1;
    });
    this.#draw();
  }

  #brush(event) {
    const [, height, width] = this.#model.shape;
    const place = event.target.getBoundingClientRect();
    const to = {
      x: ((event.clientX - place.left) / place.width) * width,
      y: ((event.clientY - place.top) / place.height) * height,
    };
    this.#stroke(this.#last ?? to, to);
    this.#last = to;
  }

  /** Arrow keys move the brush, with Shift they paint on the way; the space bar paints where it is. */
  #steer(event) {
    const [, height, width] = this.#model.shape;
    const [dx, dy] = STEPS[event.key] ?? [0, 0];
    if (!(event.key in STEPS) && event.key !== " ") return;
    event.preventDefault();
    const middle = ({ x, y }) => ({ x: x + 0.5, y: y + 0.5 });
    const from = this.#at;
    const within = (value, size) => Math.min(size - 1, Math.max(0, value));
    this.#at = { x: within(from.x + dx, width), y: within(from.y + dy, height) };
    if (event.shiftKey || event.key === " ") this.#stroke(middle(from), middle(this.#at));
    else this.#draw();
    const state = this.#kept[this.#at.y * width + this.#at.x] ? "given" : "hidden";
    $("announce").textContent = `Row ${this.#at.y + 1}, column ${this.#at.x + 1}: ${state}`;
  }

  #stroke(from, to) {
    const [, height] = this.#model.shape;
    const tool = document.querySelector("#easel-tools :checked").value;
    const reach = Math.max(0.6, REACH * height) * (tool === "ink" ? 0.75 : 1.3);
    const steps = Math.ceil(2 * Math.hypot(to.x - from.x, to.y - from.y)) + 1;
    for (let step = 1; step <= steps; step++) {
      const x = from.x + ((to.x - from.x) * step) / steps;
      const y = from.y + ((to.y - from.y) * step) / steps;
      this.#stamp(x, y, reach, tool);
    }
    this.#draw();
  }

  #stamp(x, y, reach, tool) {
    const [, height, width] = this.#model.shape;
    for (let row = Math.floor(y - reach); row <= y + reach; row++) {
      for (let column = Math.floor(x - reach); column <= x + reach; column++) {
        const inside = row >= 0 && row < height && column >= 0 && column < width;
        if (!inside || Math.hypot(column + 0.5 - x, row + 0.5 - y) > reach) continue;
        this.#kept[row * width + column] = tool === "hide" ? 0 : 1;
        if (tool === "ink") for (const plane of this.#codes) plane[row][column] = this.#brightest;
        if (tool === "paper") for (const plane of this.#codes) plane[row][column] = 0;
      }
    }
  }

  get #brightest() {
    const { levels, palette } = this.#model;
    if (!palette) return levels === null ? 1 : levels - 1;
    const sums = palette.map((colour) => colour.reduce((sum, part) => sum + part));
    return sums.indexOf(Math.max(...sums));
  }

  #draw() {
    const canvas = $("easel-canvas");
    const context = canvas.getContext("2d");
    const pixels = context.createImageData(canvas.width, canvas.height);
    const colour = colouring(this.#model, this.#model.dims_per_site);
    this.#kept.forEach((kept, i) => {
      const [x, y] = [i % canvas.width, Math.floor(i / canvas.width)];
      const shade = kept ? colour(this.#codes.map((plane) => plane[y][x]), 0) : UNKNOWN[(x + y) % 2];
      pixels.data.set([...shade, 255], 4 * i);
    });
    if (canvas.matches(":focus-visible")) {
      pixels.data.set([...BRUSH, 255], 4 * (this.#at.y * canvas.width + this.#at.x));
    }
    context.putImageData(pixels, 0, 0);
  }
}
