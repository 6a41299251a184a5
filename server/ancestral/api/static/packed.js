/** Values in an address: JSON, deflated (RFC 1950), in base64url (RFC 4648 §5) without padding. */

const MOST_BYTES = 8 << 20; // that an address may unfold to

/** Bytes of a stream; throws where there are more than `most`. */
async function bytesOf(stream, most = Infinity) {
  const parts = [];
  let size = 0;
  for (const reader = stream.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) return new Uint8Array(await new Blob(parts).arrayBuffer());
    size += value.length;
    if (size > most) throw new RangeError(`more than ${most} bytes`);
    parts.push(value);
  }
}

/** A value as characters that need no escape in an address. */
export async function pack(value) {
  const json = new Blob([JSON.stringify(value)]);
  const bytes = await bytesOf(json.stream().pipeThrough(new CompressionStream("deflate")));
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

/** What was packed. Throws for anything else. */
export async function unpack(text) {
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  const bytes = Uint8Array.from(binary, (character) => character.charCodeAt(0));
  const json = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(new TextDecoder().decode(await bytesOf(json, MOST_BYTES)));
}
