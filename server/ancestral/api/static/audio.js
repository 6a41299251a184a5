/** Sounds as they arrive, and the one that is heard. */

import { Player } from "./client/player.js";

/** A sound that grows: samples in [-1, 1] at `rate` per second, `total` in the end. */
export class Recording {
  have = 0;

  constructor(total, rate) {
    this.samples = new Float32Array(total);
    this.total = total;
    this.rate = rate;
  }

  append(samples) {
    this.samples.set(samples, this.have);
    this.have += samples.length;
  }

  /** No more will come. */
  finish() {
    this.total = this.have;
    this.samples = this.samples.subarray(0, this.have);
  }
}

/** Plays one recording at a time, from its beginning; `tick` is called for every picture drawn. */
export class Speaker {
  #opening = null; // a promise of the player
  #rate = 0;
  #recording = null;
  #sound = null; // there when the player is
  #fed = 0; // samples that it has; Infinity where it has them all

  /** To be called from a key or a click: browsers begin no sound without one. */
  wake(rate) {
    if (this.#rate === rate) return;
    this.#opening?.then((player) => player.close());
    this.#rate = rate;
    this.#opening = Player.open(rate);
  }

  /** The recording that is heard; null for silence. */
  get recording() {
    return this.#recording;
  }

  /** Begins, or begins again, as soon as the recording may be heard to its end without a gap. */
  async play(recording) {
    this.stop();
    this.#recording = recording;
    const player = await this.#opening;
    if (this.#recording !== recording || this.#sound !== null) return;
    this.#fed = 0;
    this.#sound = player.sound({ total: recording.total });
  }

  stop() {
    this.#sound?.stop();
    this.#sound = this.#recording = null;
  }

  /** Silence, and the same place when it goes on. */
  pause(on) {
    if (on) this.#sound?.pause();
    else this.#sound?.resume();
  }

  /**
   * Hands over what is new. Returns {state, sample, wait, gaps}: state is idle, waiting (for `wait`
   * seconds, as far as one can tell), playing or ended; `sample` is heard now.
   */
  tick() {
    if (this.#recording === null) return { state: "idle", sample: 0, wait: 0, gaps: 0 };
    if (this.#sound === null) return { state: "waiting", sample: 0, wait: Infinity, gaps: 0 };
    const { samples, have, total } = this.#recording;
    if (have > this.#fed) this.#sound.push(samples.subarray(this.#fed, have));
    if (have >= total && this.#fed < Infinity) this.#sound.finish();
    this.#fed = have >= total ? Infinity : have;
    const { state, at: sample, wait, gaps } = this.#sound;
    if (state === "ended") this.stop();
    return { state, sample, wait, gaps };
  }
}
