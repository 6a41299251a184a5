/** What a link says was given of the items. It comes from others: it is taken if it fits the model. */

/** Whether a value may stand in an item. */
function fits(value, { levels }) {
  if (levels === null) return Number.isFinite(value);
  return Number.isInteger(value) && value >= 0 && value < levels;
}

const isList = (value, size) => Array.isArray(value) && (size === undefined || value.length === size);

function knownFits(known, model) {
  const [channels, height, width] = model.shape;
  if (model.kind !== "image" || !isList(known, channels)) return false;
  if (!known.every((plane) => isList(plane, height) && plane.every((row) => isList(row, width)))) return false;
  return known.flat(2).every((value) => value === null || fits(value, model));
}

function prefixFits(prefix, model) {
  const most = model.length?.maximum ?? 0;
  return isList(prefix) && prefix.length <= most && prefix.every((value) => fits(value, model));
}

function fileFits(file, name, { conditions }) {
  const series = conditions.some((entry) => entry.name === name && entry.kind === "series");
  return series && typeof file?.data === "string" && ["string", "undefined"].includes(typeof file.content_type);
}

/** {known?, prefix?, condition?} of a link; null where a part is not of this model. */
export function givenOf(given, model) {
  if (given === null) return null;
  const { known, prefix } = given;
  const condition = given.condition ?? {};
  if (known !== undefined && !knownFits(known, model)) return null;
  if (prefix !== undefined && !prefixFits(prefix, model)) return null;
  if (!Object.entries(condition).every(([name, file]) => fileFits(file, name, model))) return null;
  return { known, prefix, condition };
}
