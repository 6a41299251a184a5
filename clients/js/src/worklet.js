/** Sound on its way to the loudspeaker: a queue, and the AudioWorklet processor around it. */

/** Samples that arrive in pieces and are taken in blocks, at another rate. */
export class SoundQueue {
  #pieces = [];
  #at = 0; // place in the first piece
  #waiting = 0; // samples queued
  #playing = false;
  #finished = false;
  #before = 0; // the last sample taken
  #fraction = 1; // of the way from it to the next one

  /** `step`: samples per frame that is played; `lead`: samples that are queued before it begins. */
  constructor(step, lead) {
    this.step = step;
    this.lead = lead;
    this.gaps = 0; // times that it ran dry before the end
  }

  push(samples) {
    if (samples.length === 0) return;
    this.#pieces.push(samples);
    this.#waiting += samples.length;
  }

  /** No more will come. */
  finish() {
    this.#finished = true;
  }

  get ended() {
    return this.#finished && this.#waiting === 0;
  }

  /** Fills `output` with sound, linearly interpolated, and with silence where there is none. */
  fill(output) {
    output.fill(0);
    if (!this.#playing) this.#playing = this.#waiting > 0 && (this.#finished || this.#waiting >= this.lead);
    for (let i = 0; this.#playing && i < output.length; i++) {
      while (this.#fraction >= 1 && this.#waiting > 0) {
        this.#before = this.#take();
        this.#fraction -= 1;
      }
      if (this.#fraction >= 1) {
        this.#playing = false;
        if (!this.#finished) this.gaps++;
        return;
      }
      const next = this.#waiting > 0 ? this.#pieces[0][this.#at] : this.#before;
      output[i] = this.#before + this.#fraction * (next - this.#before);
      this.#fraction += this.step;
    }
  }

  #take() {
    const sample = this.#pieces[0][this.#at++];
    this.#waiting--;
    if (this.#at === this.#pieces[0].length) {
      this.#pieces.shift();
      this.#at = 0;
    }
    return sample;
  }
}

if (globalThis.registerProcessor !== undefined) {
  class Processor extends AudioWorkletProcessor {
    constructor({ processorOptions: { rate, lead } }) {
      super();
      this.queue = new SoundQueue(rate / globalThis.sampleRate, lead * rate);
      this.port.onmessage = ({ data }) => (data === null ? this.queue.finish() : this.queue.push(data));
    }

    process(_, [[output]]) {
      this.queue.fill(output);
      if (!this.queue.ended) return true;
      this.port.postMessage({ gaps: this.queue.gaps });
      return false;
    }
  }
  globalThis.registerProcessor("ancestral-player", Processor);
}
