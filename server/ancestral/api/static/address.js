/** The address of a sample: `#model?seed=…`, from which the same request can be made again. */

import { pack, unpack } from "./packed.js";

export const LONGEST = 32_000; // characters; Chromium shows no longer address

const FIELDS = ["seed", "temperature", "count", "sites"];

/** What of a condition is spelled out: a class, or that every item has one of its own. */
const plain = (value) => typeof value !== "object" || (Array.isArray(value) && typeof value[0] === "number");

/**
 * The address of a request, with what was given of the items packed; it may be longer than LONGEST.
 * `seed`: what it was drawn with.
 */
export async function addressOf(request, seed) {
  const options = new URLSearchParams();
  const fields = { ...request, seed };
  for (const name of FIELDS) if (fields[name] !== undefined) options.set(name, fields[name]);
  const { known, prefix, condition = {} } = request;
  if (typeof prefix === "string") options.set("prefix", prefix);
  const given = {};
  if (known) given.known = known;
  if (Array.isArray(prefix)) given.prefix = prefix;
  for (const [name, value] of Object.entries(condition)) {
    if (plain(value)) options.set(`condition.${name}`, Array.isArray(value) ? "each" : value);
    else given.condition = { ...given.condition, [name]: value };
  }
  if (Object.keys(given).length > 0) options.set("given", await pack(given));
  return `#${encodeURIComponent(request.model)}?${options}`;
}

/**
 * {name, options, given} of an address: `options` is null where it has none, `given` what was packed.
 * Of a damaged address, `given` is null.
 */
export async function readAddress(hash) {
  const [name, ...rest] = hash.replace(/^#/, "").split("?");
  const options = rest.length > 0 ? new URLSearchParams(rest.join("?")) : null;
  const packed = options?.get("given") ?? null;
  const given = packed === null ? {} : await unpack(packed).catch(() => null);
  return { name: decoded(name), options, given: typeof given === "object" ? given : null };
}

function decoded(name) {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}
