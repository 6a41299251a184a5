/** The address of a sample: `#model?seed=…`, from which the same request can be made again. */

const FIELDS = ["seed", "temperature", "count", "sites"];

/** The address of a request; null where a part of it is too long to be linked. */
export function addressOf(request, seed) {
  const values = Object.values(request.condition ?? {});
  if (values.some((value) => typeof value === "object" && !Array.isArray(value))) return null;
  if (request.known || (request.prefix && typeof request.prefix !== "string")) return null;
  const options = new URLSearchParams();
  const fields = { ...request, seed };
  for (const name of FIELDS) if (fields[name] !== undefined) options.set(name, fields[name]);
  if (request.prefix) options.set("prefix", request.prefix);
  for (const [name, value] of Object.entries(request.condition ?? {})) {
    options.set(`condition.${name}`, Array.isArray(value) ? "each" : value);
  }
  return `#${encodeURIComponent(request.model)}?${options}`;
}

/** {name, options} of an address; options is null where it has none. */
export function readAddress(hash) {
  const [name, ...rest] = hash.replace(/^#/, "").split("?");
  return { name: decodeURIComponent(name), options: rest.length ? new URLSearchParams(rest.join("?")) : null };
}
