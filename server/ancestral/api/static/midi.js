/** Standard MIDI Files 1.0 (RP-001) of the codes of a `midi` codec, as the server writes them. */

const TICKS = 480; // per step
const VELOCITY = 80;
const DRUMS = 9; // the channel that General MIDI keeps for drums

/** A number as seven bits a byte, all but the last with the high bit set. */
function variable(value) {
  const bytes = [value & 127];
  for (let rest = value >> 7; rest > 0; rest >>= 7) bytes.unshift((rest & 127) | 128);
  return bytes;
}

function big(value, bytes) {
  return Array.from({ length: bytes }, (_, i) => (value >> (8 * (bytes - 1 - i))) & 255);
}

function chunk(name, bytes) {
  return [...Array.from(name, (c) => c.charCodeAt(0)), ...big(bytes.length, 4), ...bytes];
}

function track(pitches, voice) {
  const channel = voice % 15 < DRUMS ? voice % 15 : (voice % 15) + 1;
  const bytes = [];
  let [before, last] = [0, 0];
  [...pitches, 0].forEach((pitch, step) => {
    if (pitch === before) return;
    if (before) bytes.push(...variable((step - last) * TICKS), 0x80 | channel, before, 0);
    if (before) last = step;
    if (pitch) bytes.push(...variable((step - last) * TICKS), 0x90 | channel, pitch, VELOCITY);
    if (pitch) last = step;
    before = pitch;
  });
  return chunk("MTrk", [...bytes, ...variable((pitches.length - last) * TICKS), 0xff, 0x2f, 0]);
}

/** A file, as a Blob, of codes [steps · voices]; voices that the last step lacks rest. */
export function midiFile(codes, { voices, steps, tempo }) {
  const count = Math.ceil(codes.length / voices);
  const speed = [0, 0xff, 0x51, 3, ...big(Math.round(60e6 / tempo), 3), 0, 0xff, 0x2f, 0];
  const tracks = Array.from({ length: voices }, (_, voice) => {
    return track(Array.from({ length: count }, (_, step) => codes[step * voices + voice] ?? 0), voice);
  });
  const head = [...big(1, 2), ...big(voices + 1, 2), ...big(TICKS * steps, 2)];
  const bytes = [...chunk("MThd", head), ...chunk("MTrk", speed), ...tracks.flat()];
  return new Blob([Uint8Array.from(bytes)], { type: "audio/midi" });
}
