/** A rising hum: what a vocoder is given to say on its card. */

import { wavFile } from "./codec.js";

const SECONDS = 0.2;
const [LOW, HIGH] = [110, 170]; // Hz: a voice's pitch
const OVERTONES = 8;
const LOUDNESS = 0.5;

/** A WAV file of it, as a Blob. */
export function hum(rate) {
  const size = Math.ceil(SECONDS * rate);
  let phase = 0;
  const samples = Float32Array.from({ length: size }, (_, i) => {
    phase += (2 * Math.PI * (LOW + ((HIGH - LOW) * i) / size)) / rate;
    let sum = 0;
    for (let k = 1; k <= OVERTONES && k * HIGH < rate / 2; k++) sum += Math.sin(k * phase) / k;
    return (LOUDNESS * Math.sin((Math.PI * i) / size) * sum) / 2; // the sum stays below 2
  });
  return wavFile(samples, rate);
}
