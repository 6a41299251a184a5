/** The colours of surprise: the same table as the server's heat maps, and a key to read it by. */

// Oklab waypoints (lightness, a, b): near black, violet, red, orange, pale yellow.
const WAYPOINTS = [
  [0.1, 0.0, -0.02],
  [0.35, 0.1, -0.12],
  [0.55, 0.19, 0.03],
  [0.76, 0.08, 0.14],
  [0.97, -0.02, 0.09],
];

function srgb(linear) {
  const x = Math.min(1, Math.max(0, linear));
  const gamma = x <= 0.0031308 ? 12.92 * x : 1.055 * x ** (1 / 2.4) - 0.055;
  return Math.floor(gamma * 255 + 0.5);
}

/** sRGB of an Oklab colour (Ottosson 2020). */
function oklab(L, a, b) {
  const l = (L + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (L - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (L - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    srgb(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
    srgb(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
    srgb(-0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s),
  ];
}

/** 256 colours [r, g, b] of rising lightness. */
export const HEAT = Array.from({ length: 256 }, (_, shade) => {
  const at = (shade / 255) * (WAYPOINTS.length - 1);
  const knot = Math.min(Math.floor(at), WAYPOINTS.length - 2);
  const [low, high] = [WAYPOINTS[knot], WAYPOINTS[knot + 1]];
  const mix = (axis) => low[axis] + (at - knot) * (high[axis] - low[axis]);
  const lightness = WAYPOINTS[0][0] + (shade / 255) * (WAYPOINTS.at(-1)[0] - WAYPOINTS[0][0]);
  return oklab(lightness, mix(1), mix(2));
});

/** The colour of a share of the scale; beyond its ends the ends'. */
export function heat(share) {
  return HEAT[Math.floor(Math.min(1, Math.max(0, share)) * 255)];
}

export const css = ([r, g, b]) => `rgb(${r} ${g} ${b})`;

/** Paints the table from left to right on a canvas: the key beside a map. */
export function paintKey(canvas) {
  canvas.width = HEAT.length;
  canvas.height = 1;
  const context = canvas.getContext("2d");
  HEAT.forEach((colour, x) => {
    context.fillStyle = css(colour);
    context.fillRect(x, 0, 1, 1);
  });
}
