/** A small organ: voices of a `midi` codec to samples, step by step, as a sound that grows. */

import { Recording } from "./audio.js";

export const SYNTH_HZ = 22050;
const PARTIALS = [1, 0.5, 0.28, 0.14, 0.08]; // amplitudes of the harmonics
const ATTACK = 0.012; // seconds to full loudness
const RELEASE = 0.05; // seconds to silence
const FADING = 0.7; // per second, of a note that is held

/** Seconds of one step. */
export function stepSeconds({ steps, tempo }) {
  return 60 / tempo / steps;
}

/** Frequency of a MIDI pitch, equal temperament on A4 = 440 Hz. */
export function hertz(pitch) {
  return 440 * 2 ** ((pitch - 69) / 12);
}

export class Synth {
  #codec;
  #length; // samples of a step
  #held; // of each voice: its pitch and the samples since it began
  #gain;

  /** `steps`: how many there will be. */
  constructor(codec, steps) {
    this.#codec = codec;
    this.#length = Math.round(SYNTH_HZ * stepSeconds(codec));
    this.#held = Array.from({ length: codec.voices }, () => ({ pitch: 0, age: 0 }));
    this.#gain = 0.9 / (codec.voices * PARTIALS.reduce((sum, part) => sum + part));
    this.sound = new Recording(this.#length * steps, SYNTH_HZ);
  }

  /** Sounds one more step: the pitch of each voice, 0 for silence. */
  step(pitches) {
    const samples = new Float32Array(this.#length);
    pitches.forEach((pitch, voice) => {
      const held = this.#held[voice];
      if (pitch !== held.pitch) {
        this.#add(samples, held, RELEASE);
        this.#held[voice] = { pitch, age: 0 };
      }
      this.#add(samples, this.#held[voice]);
      this.#held[voice].age += this.#length;
    });
    this.sound.append(samples);
  }

  /** Adds a note that goes on, or one that ends within `release` seconds. */
  #add(samples, { pitch, age }, release = 0) {
    if (pitch === 0 || (release && age === 0)) return;
    const turn = (2 * Math.PI * hertz(pitch)) / SYNTH_HZ;
    const end = release ? Math.min(samples.length, Math.round(release * SYNTH_HZ)) : samples.length;
    for (let i = 0; i < end; i++) {
      const at = age + i;
      const seconds = at / SYNTH_HZ;
      let level = this.#gain * Math.min(1, seconds / ATTACK) * Math.exp(-FADING * seconds);
      if (release) level *= 1 - i / end;
      let wave = 0;
      PARTIALS.forEach((part, k) => {
        wave += part * Math.sin((k + 1) * turn * at);
      });
      samples[i] += level * wave;
    }
  }
}
