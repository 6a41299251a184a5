/** Pictures on a canvas: every level's colour, any order, and the site that comes next. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Painter, colouring } from "../src/painter.js";

const CURSOR = [94, 200, 255];
const HERE = [...CURSOR, 255];
const EMPTY = [0, 0, 0, 0];
const grey = (level) => [level, level, level, 255];

/** A painter of items [channels, height, width] on a canvas that shows {pixels}. */
function painting(shape, model, { cursor = CURSOR, ...started } = {}) {
  const shown = {};
  const context = {
    createImageData: (width, height) => ({ data: new Uint8ClampedArray(4 * width * height) }),
    putImageData: ({ data }) => (shown.pixels = Array.from(data)),
  };
  const canvas = { getContext: () => context };
  const told = { shape, dims_per_site: shape[0], ...started };
  const painter = new Painter(canvas, model, told, 0, { cursor });
  const put = (firstSite, values) => painter.put({ firstSite, count: values.length / shape[0], values });
  return { painter, put, shown, canvas };
}

test("levels become greys, up to the cursor", () => {
  const { painter, put, shown, canvas } = painting([1, 2, 2], { levels: 5 });
  assert.deepEqual([canvas.width, canvas.height], [2, 2]);
  put(0, Uint8Array.of(0, 1));
  painter.show();
  assert.deepEqual(shown.pixels, [grey(0), grey(64), HERE, EMPTY].flat());
  painter.stop();
  assert.deepEqual(shown.pixels.slice(8, 12), [...CURSOR, 0]);
  put(2, Uint8Array.of(3, 4));
  painter.stop();
  assert.deepEqual(shown.pixels, [grey(0), grey(64), grey(191), grey(255)].flat());
  assert.deepEqual(painter.nested, [[[0, 1], [3, 4]]]);
});

test("three channels, values of a site side by side", () => {
  const { painter, put, shown } = painting([3, 1, 2], { levels: 256 });
  put(0, Uint8Array.of(1, 2, 3, 250, 251, 252));
  painter.show();
  assert.deepEqual(shown.pixels, [1, 2, 3, 255, 250, 251, 252, 255]);
  assert.deepEqual(painter.nested, [[[1, 250]], [[2, 251]], [[3, 252]]]);
});

test("a palette, and real values", () => {
  const palette = [[9, 8, 7], [1, 2, 3]];
  const few = painting([1, 1, 2], { levels: 2, palette });
  few.put(0, Uint8Array.of(1, 0));
  few.painter.show();
  assert.deepEqual(few.shown.pixels, [1, 2, 3, 255, 9, 8, 7, 255]);
  const real = painting([1, 1, 2], { levels: null });
  real.put(0, Float32Array.of(0.2, 7));
  real.painter.show();
  assert.deepEqual(real.shown.pixels, [grey(51), grey(255)].flat());
  assert.deepEqual(colouring({ levels: 4 }, 1)([3], 0), [255, 255, 255]);
});

test("sites are painted by position", () => {
  const { painter, put, shown } = painting([1, 2, 2], { levels: 256 }, { permutation: [3, 0, 2, 1] });
  put(0, Uint8Array.of(30, 10));
  painter.show();
  assert.deepEqual(shown.pixels, [grey(10), EMPTY, HERE, grey(30)].flat());
  put(2, Uint8Array.of(20, 15));
  painter.show();
  assert.deepEqual(painter.nested, [[[10, 15], [20, 30]]]);
  assert.deepEqual(shown.pixels, [10, 15, 20, 30].flatMap(grey));
});

test("a frame's sites are shown one after the other, all of them in the time of two frames", () => {
  const { painter, put, shown } = painting([1, 10, 10], { levels: 256 });
  put(0, new Uint8Array(60).fill(7));
  let before = 0;
  for (let i = 0; i < 60 && !painter.settled; i++) {
    painter.show(1 / 60);
    const now = shown.pixels.filter((value, at) => at % 4 === 0 && value === 7).length;
    assert.ok(now > before);
    if (i === 0) assert.ok(now < 60);
    before = now;
  }
  assert.ok(painter.settled);
  assert.equal(before, 60);
});

test("without a cursor, what has not come is empty", () => {
  const { painter, shown } = painting([1, 1, 2], { levels: 2 }, { cursor: null });
  painter.paint({ firstSite: 0, count: 1, values: Uint8Array.of(1) });
  assert.deepEqual(shown.pixels, [grey(255), EMPTY].flat());
});
