/** What codes of a sound stand for, and amplitudes as a file. */

import { SYNTH_HZ } from "./synth.js";

/** Amplitude in [-1, 1] of each code of a `mu-law` or `linear` codec, Float32Array [levels]. */
export function amplitudes(codec) {
  const { kind, levels, mu } = codec;
  const shift = codec.decode_points === "midpoints" ? 0.5 : 0;
  return Float32Array.from({ length: levels }, (_, code) => {
    const y = Math.min((2 * (code + shift)) / (levels - 1) - 1, 1);
    if (kind === "linear") return y;
    return (Math.sign(y) * Math.expm1(Math.abs(y) * Math.log1p(mu))) / mu;
  });
}

/** Samples per second of what a model's samples sound like; null where they are silent. */
export function soundRate({ kind, sample_rate: rate, codec }) {
  if (codec?.kind === "midi") return SYNTH_HZ;
  return kind === "audio" ? rate : null;
}

/** A mono 16-bit WAV file of amplitudes, as a Blob. */
export function wavFile(samples, rate) {
  const bytes = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const text = (at, word) => [...word].forEach((c, i) => bytes.setUint8(at + i, c.charCodeAt(0)));
  text(0, "RIFF");
  bytes.setUint32(4, bytes.byteLength - 8, true);
  text(8, "WAVEfmt ");
  bytes.setUint32(16, 16, true);
  bytes.setUint16(20, 1, true); // PCM
  bytes.setUint16(22, 1, true); // mono
  bytes.setUint32(24, rate, true);
  bytes.setUint32(28, 2 * rate, true);
  bytes.setUint16(32, 2, true);
  bytes.setUint16(34, 16, true);
  text(36, "data");
  bytes.setUint32(40, 2 * samples.length, true);
  samples.forEach((x, i) => {
    bytes.setInt16(44 + 2 * i, Math.max(-32768, Math.min(32767, Math.round(x * 32768))), true);
  });
  return new Blob([bytes], { type: "audio/wav" });
}
