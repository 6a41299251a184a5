/** Elements of the page by id, and new ones. */

export const $ = (id) => document.getElementById(id);

/** A new element with properties, attributes (`aria-…`, `data-…`, `role`, `for`) and children. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

const NUMBER = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

/** -12345.6 as "−12,346"; below 100 with one decimal. */
export function figure(value) {
  if (!Number.isFinite(value)) return "–";
  return NUMBER.format(Math.abs(value) < 100 ? value : Math.round(value)).replace("-", "−");
}

/** "28 × 28" of an image, "8 kHz" of a sound. */
export function extent(model) {
  if (model.kind === "image") {
    const [channels, height, width] = model.shape;
    return `${height} × ${width}${channels === 1 ? "" : ` × ${channels}`}`;
  }
  if (model.kind === "audio") return `${figure(model.sample_rate / 1000)} kHz`;
  return model.shape.length ? `${model.shape[0]} dimensions` : "sequences";
}

/** "256 levels", "binary", "real-valued". */
export function levels(model) {
  if (model.palette) return `${model.levels} colours`;
  if (model.levels === null) return "real-valued";
  return model.levels === 2 ? "binary" : `${model.levels} levels`;
}
