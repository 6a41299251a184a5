/** Sound on its way to the loudspeaker: a queue, and the AudioWorklet processor around it. */

const SAFETY = 1.15; // the rest of a sound is taken to need this much longer than measured
const NEWS_SECONDS = 0.02; // between two messages of the processor

/**
 * Samples that arrive in pieces and are taken in blocks, at another rate.
 *
 * It begins when `lead` samples are there and, of a sound whose `total` is known, when the rest
 * arrives before it is needed: one that is made slower than real time is heard as late as it must
 * be, and without gaps. The same holds where it ran dry. Times are in seconds.
 */
export class SoundQueue {
  state = "waiting"; // or playing, ended
  taken = 0; // samples
  gaps = 0; // times that it ran dry before the end
  #pieces = [];
  #at = 0; // place in the first piece
  #waiting = 0; // samples queued
  #finished = false;
  #first = null; // {now, have}: when the first piece came
  #speed = 0; // samples that arrive per second
  #before = 0; // the last sample taken
  #fraction = 1; // of the way from it to the next one

  /** `step`: samples per frame that is played; `rate`: samples per second. */
  constructor({ step, lead, rate, total = null }) {
    Object.assign(this, { step, lead, rate, total });
  }

  get #have() {
    return this.taken + this.#waiting;
  }

  push(samples, now) {
    if (samples.length === 0) return;
    this.#pieces.push(samples);
    this.#waiting += samples.length;
    this.#first ??= { now, have: this.#have };
    if (now > this.#first.now) this.#speed = (this.#have - this.#first.have) / (now - this.#first.now);
  }

  /** No more will come. */
  finish() {
    this.#finished = true;
  }

  /** Whether it can fill so many frames and does not run dry by that, or has all that remains. */
  covers(frames) {
    return this.#finished || this.#have >= (this.total ?? Infinity) || this.#waiting > frames * this.step;
  }

  /** Seconds until it may begin at the present speed; 0 where it may, Infinity where one cannot tell. */
  get wait() {
    if (this.#finished || (this.total !== null && this.#have >= this.total)) return 0;
    const lead = this.lead - this.#waiting;
    if (this.total === null) return lead > 0 ? lead / this.#speed : 0;
    if (this.#speed <= 0) return Infinity;
    const late = this.total - this.#have - ((this.total - this.taken) * this.#speed) / (SAFETY * this.rate);
    return Math.max(0, Math.min(this.total - this.#have, Math.max(lead, late))) / this.#speed;
  }

  /** Fills `output` with sound, linearly interpolated, and with silence where there is none. */
  fill(output) {
    output.fill(0);
    if (this.state === "waiting" && this.#waiting > 0 && this.wait === 0) this.state = "playing";
    for (let i = 0; this.state === "playing" && i < output.length; i++) {
      while (this.#fraction >= 1 && this.#waiting > 0) {
        this.#before = this.#take();
        this.#fraction -= 1;
      }
      if (this.#fraction >= 1) break;
      const next = this.#waiting > 0 ? this.#pieces[0][this.#at] : this.#before;
      output[i] = this.#before + this.#fraction * (next - this.#before);
      this.#fraction += this.step;
    }
    if (this.#waiting > 0 || (this.state === "playing" && this.#fraction < 1)) return;
    if (this.#finished || this.taken === this.total) {
      this.state = "ended";
    } else if (this.state === "playing") {
      this.state = "waiting";
      this.gaps++;
    }
  }

  #take() {
    const sample = this.#pieces[0][this.#at++];
    this.#waiting--;
    this.taken++;
    if (this.#at === this.#pieces[0].length) {
      this.#pieces.shift();
      this.#at = 0;
    }
    return sample;
  }
}

/**
 * A sound as its player orders it: samples (Float32Array), "finish", "pause", "go on", "stop". What it tells
 * is {state, at, wait, gaps}: sample `at` is taken next.
 */
export class Voice {
  stopped = false;
  #paused = false;
  #told = -Infinity;

  constructor({ rate, lead, total }, sampleRate) {
    this.queue = new SoundQueue({ step: rate / sampleRate, lead: lead * rate, rate, total });
  }

  obey(message, now) {
    if (message instanceof Float32Array) this.queue.push(message, now);
    else if (message === "finish") this.queue.finish();
    else if (message === "stop") this.stopped = true;
    else this.#paused = message === "pause";
  }

  /** Fills `output`; what is to be told of it, null where that is nothing new. */
  render(output, now) {
    const before = this.queue.state;
    if (this.#paused) output.fill(0);
    else this.queue.fill(output);
    const { state, taken, wait, gaps } = this.queue;
    if (state === before && now - this.#told < NEWS_SECONDS) return null;
    this.#told = now;
    return { state, at: taken, wait, gaps };
  }
}

if (globalThis.registerProcessor !== undefined) {
  class Processor extends AudioWorkletProcessor {
    constructor({ processorOptions }) {
      super();
      this.voice = new Voice(processorOptions, globalThis.sampleRate);
      this.port.onmessage = ({ data }) => this.voice.obey(data, globalThis.currentTime);
    }

    process(_, [[output]]) {
      if (this.voice.stopped) return false;
      const news = this.voice.render(output, globalThis.currentTime);
      if (news !== null) this.port.postMessage(news);
      return this.voice.queue.state !== "ended";
    }
  }
  globalThis.registerProcessor("ancestral-player", Processor);
}
