/** What of an item was given: a line around it in pictures, a shade over it along sounds and music. */

import { make } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";

/** The border between the sites that are given and those that are filled in, as an SVG path in pixels. */
export function borderOf(known) {
  const [plane] = known; // all channels of a site are given, or none
  const given = plane.map((row) => row.map((code) => code !== null));
  let path = "";
  given.forEach((row, y) => {
    row.forEach((own, x) => {
      if (x + 1 < row.length && own !== row[x + 1]) path += `M${x + 1} ${y}v1`;
      if (y + 1 < given.length && own !== given[y + 1][x]) path += `M${x} ${y + 1}h1`;
    });
  });
  return path;
}

/** A canvas with the line around what of it was given; the canvas itself where nothing was. */
export function outlined(canvas, known) {
  if (known === null) return canvas;
  const drawing = document.createElementNS(SVG, "svg");
  drawing.setAttribute("viewBox", `0 0 ${known[0][0].length} ${known[0].length}`);
  drawing.setAttribute("preserveAspectRatio", "none");
  drawing.setAttribute("aria-hidden", "true");
  const path = borderOf(known);
  for (const name of ["under", "over"]) {
    const line = document.createElementNS(SVG, "path");
    line.setAttribute("class", name);
    line.setAttribute("d", path);
    drawing.append(line);
  }
  return make("span", { className: "outlined" }, canvas, drawing);
}

/** The shade over the first `given` of `sites` along a plot; none where nothing was given. */
export function shaded(given, sites) {
  if (!given) return [];
  const shade = make("span", { className: "given-part", title: "given" });
  shade.style.setProperty("--to", `${(100 * given) / sites}%`);
  return [shade];
}
