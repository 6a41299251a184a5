"""Pictures on a canvas: every level's colour, any order, and the site that comes next."""

from __future__ import annotations

from pathlib import Path

from tests.page.node import run

CANVAS = """
import { Picture, planes } from "./painter.js";

function canvas() {
  const context = {
    createImageData: (width, height) => ({ data: new Uint8ClampedArray(4 * width * height) }),
    putImageData: (image) => { fake.image = Array.from(image.data); },
  };
  const fake = { getContext: () => context, image: null };
  return fake;
}
const CURSOR = [94, 200, 255, 255];
const EMPTY = [0, 0, 0, 0];
const grey = (level) => [level, level, level, 255];
const image = (shape, more = {}) => {
  return { shape, dims_per_site: shape[0], palette: null, levels: 256, ...more };
};
"""

LEVELS = (
    CANVAS
    + """
{
  const paper = canvas();
  const picture = new Picture(paper, image([1, 2, 2], { levels: 5 }));
  assert.deepEqual([paper.width, paper.height], [2, 2]);
  picture.put(0, Uint8Array.of(0, 1));
  picture.show();
  assert.deepEqual(paper.image, [grey(0), grey(64), CURSOR, EMPTY].flat());
  picture.stop();
  assert.deepEqual(paper.image.slice(8, 12), [94, 200, 255, 0]);
  picture.put(2, Uint8Array.of(3, 4));
  picture.show();
  picture.stop();
  assert.deepEqual(paper.image, [grey(0), grey(64), grey(191), grey(255)].flat());
  assert.deepEqual(picture.nested, [[[0, 1], [3, 4]]]);
}
{ // three channels, values of a site side by side
  const paper = canvas();
  const picture = new Picture(paper, image([3, 1, 2]));
  picture.put(0, Uint8Array.of(1, 2, 3, 250, 251, 252));
  picture.show();
  assert.deepEqual(paper.image, [1, 2, 3, 255, 250, 251, 252, 255]);
  assert.deepEqual(picture.nested, [[[1, 250]], [[2, 251]], [[3, 252]]]);
}
{ // a palette, and real values
  const palette = [[9, 8, 7], [1, 2, 3]];
  const paper = canvas();
  const picture = new Picture(paper, image([1, 1, 2], { levels: 2, palette }));
  picture.put(0, Uint8Array.of(1, 0));
  picture.show();
  assert.deepEqual(paper.image, [1, 2, 3, 255, 9, 8, 7, 255]);
  const real = new Picture(paper, image([1, 1, 2], { levels: null }));
  real.put(0, Float32Array.of(0.2, 7));
  real.show();
  assert.deepEqual(paper.image, [grey(51), grey(255)].flat());
}
"""
)

ORDER = (
    CANVAS
    + """
const paper = canvas();
const picture = new Picture(paper, image([1, 2, 2]), [3, 0, 2, 1]);
picture.put(0, Uint8Array.of(30, 10));
picture.show();
assert.deepEqual(paper.image, [grey(10), EMPTY, CURSOR, grey(30)].flat());
picture.put(2, Uint8Array.of(20, 15));
picture.show();
assert.deepEqual(picture.nested, [[[10, 15], [20, 30]]]);
assert.deepEqual(paper.image, [10, 15, 20, 30].flatMap(grey));
"""
)

EASE = (
    CANVAS
    + """
// A frame's sites are shown one after the other, and all of them in the time of two frames.
const paper = canvas();
const picture = new Picture(paper, image([1, 10, 10]));
picture.put(0, new Uint8Array(60).fill(7));
let shown = 0;
for (let i = 0; i < 60 && !picture.settled; i++) {
  picture.show(1 / 60);
  const now = paper.image.filter((value, at) => at % 4 === 0 && value === 7).length;
  assert.ok(now > shown);
  if (i === 0) assert.ok(now < 60);
  shown = now;
}
assert.ok(picture.settled);
assert.equal(shown, 60);
assert.deepEqual(planes(Float32Array.of(1, 2, 3, 4), [2, 1, 2]), [[[1, 3]], [[2, 4]]]);
"""
)


def test_levels_become_colours(tmp_path: Path) -> None:
    run(LEVELS, tmp_path)


def test_an_order_that_is_not_raster(tmp_path: Path) -> None:
    run(ORDER, tmp_path)


def test_sites_appear_one_by_one(tmp_path: Path) -> None:
    run(EASE, tmp_path)
